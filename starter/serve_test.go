package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/access"
	"sessionkeeper/internal/temporaltest"
)

func TestServeChecksFlags(t *testing.T) {
	t.Setenv(tokensVariable, "")
	none := filepath.Join(t.TempDir(), "none")
	for want, args := range map[string][]string{
		"want tokens: -tokens FILE or SESSIONKEEPER_TOKENS":           {},
		"read tokens: open " + none:                                   {"-tokens", none},
		"want either tokens or -no-auth":                              {"-tokens", none, "-no-auth"},
		"without tokens want a loopback address":                      {"-no-auth", "-listen", ":0"},
		`unexpected argument "x"`:                                     {"-no-auth", "x"},
		"-allowed-origins: number 2: want a host name":                {"-no-auth", "-allowed-origins", "a.example.com,https://b.example.com"},
		"-max-events 0: want at least 1":                              {"-no-auth", "-max-events", "0"},
		"-max-request-bytes 0: want at least 1":                       {"-no-auth", "-max-request-bytes", "0"},
		"-max-window 0s: want at least 1ms":                           {"-no-auth", "-max-window", "0"},
		"-max-body -1: want at least 1":                               {"-no-auth", "-max-body=-1"},
		"-drain-timeout 0s: want at least 1ms":                        {"-no-auth", "-drain-timeout", "0"},
		"-window -1s: must not be negative":                           {"-no-auth", "-window=-1s"},
		`log format "xml": want json or console`:                      {"-no-auth", "-log-format", "xml"},
		`log level "loud": want debug, info, warn or error`:           {"-no-auth", "-log-level", "loud"},
		"want both a TLS certificate and its key, or neither":         {"-no-auth", "-tls-cert", none},
		"listen for events: listen tcp: address nowhere: missing por": {"-no-auth", "-listen", "nowhere"},
	} {
		_, err := starter(t, nil, append([]string{"serve", "-metrics-listen", "127.0.0.1:0"}, args...)...)
		require.ErrorContains(t, err, want)
	}
	t.Setenv(tokensVariable, "short")
	_, err := starter(t, nil, "serve")
	require.EqualError(t, err, `SESSIONKEEPER_TOKENS: line 1: want a list of tokens; "starter token new" makes one`)
	_, err = starter(t, nil, "serve", "-tokens", none)
	require.EqualError(t, err, "want tokens either from -tokens or from SESSIONKEEPER_TOKENS")
}

// TestServeStopsOnSIGTERM runs main, because a signal goes to a process.
func TestServeStopsOnSIGTERM(t *testing.T) {
	token, line, err := access.NewToken("router", []string{access.AllOrgs})
	require.NoError(t, err)
	for name, test := range map[string]struct {
		unreachable bool
		exit        int
		output      string
	}{
		"everything is reported": {false, 0, `"msg":"Stopped, everything was reported"`},
		"a message is left": {
			true, 1, "starter: close the sender: 1 conversations left, 1 of them with an unreported message",
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := temporaltest.Start(t)
			var listening net.ListenConfig
			free, err := listening.Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			address := free.Addr().String()
			require.NoError(t, free.Close())
			self, err := os.Executable()
			require.NoError(t, err)
			output, err := os.Create(filepath.Join(t.TempDir(), "output"))
			require.NoError(t, err)
			defer output.Close()
			process, err := os.StartProcess(self, []string{self}, &os.ProcAttr{
				Env: append(os.Environ(), tokensVariable+"="+line,
					"STARTER_ARGS=-address "+server.Addr+" serve -metrics-listen 127.0.0.1:0 -drain-timeout 500ms -listen "+address),
				Files: []*os.File{nil, output, output},
			})
			require.NoError(t, err)
			for range 2 {
				require.Eventually(t, func() bool { return post(t, address, token) == http.StatusAccepted },
					30*time.Second, 10*time.Millisecond)
			}
			if test.unreachable {
				server.Stop()
			}
			require.NoError(t, process.Signal(syscall.SIGTERM))
			state, err := process.Wait()
			require.NoError(t, err)
			text, err := os.ReadFile(output.Name())
			require.NoError(t, err)
			require.Equal(t, test.exit, state.ExitCode(), string(text))
			require.Contains(t, string(text), test.output)
			require.NotContains(t, string(text), token)
		})
	}
}

// post sends a message. It returns the status of the response, or 0 without one.
func post(t *testing.T, address, token string) int {
	t.Helper()
	text := strings.Replace(event("c1"), `"id"`, `"time":"`+time.Now().Format(time.RFC3339Nano)+`","id"`, 1)
	url := "http://" + address + "/v1/events"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(text))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/cloudevents+json")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}
