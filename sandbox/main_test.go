package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// start runs the command until the test ends, and returns what it announces.
func start(t *testing.T, args ...string) (announced map[string]string, stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := command(write).Run(ctx, append([]string{"sandbox", "--listen", "127.0.0.1:0"}, args...))
		_ = write.CloseWithError(io.EOF)
		ended <- err
	}()
	stop = func() error { cancel(); return <-ended }
	announced = map[string]string{}
	lines := bufio.NewScanner(read)
	for lines.Scan() {
		name, value, found := strings.Cut(lines.Text(), "  ")
		if found {
			announced[name] = strings.TrimSpace(value)
		}
		if name == "audience" {
			go func() { _, _ = io.Copy(io.Discard, read) }()
			return announced, stop
		}
	}
	t.Fatalf("it ended early: %v", <-ended)
	return nil, nil
}

func health(t *testing.T, url string) int {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/_sandbox/health", nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

func TestRunsWithoutAnyFile(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key.pem")
	announced, stop := start(t, "-key-out", key)
	require.Equal(t, http.StatusOK, health(t, announced["API base URL"]))
	require.NotEmpty(t, announced["consumer key"])
	require.NotEmpty(t, announced["user name"])
	pem, err := os.ReadFile(key)
	require.NoError(t, err)
	_, err = jwt.ParseRSAPrivateKeyFromPEM(pem)
	require.NoError(t, err)
	info, err := os.Stat(key)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, stop())
}

func TestRunsWithAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sandbox.yaml")
	require.NoError(t, os.WriteFile(file, []byte("orgs: [{orgId: 00D00000000000B, consumerKey: k, clientSecret: very-secret, channelDefinitions: [d]}]"), 0o600))
	announced, stop := start(t, "--config", file)
	require.Equal(t, http.StatusOK, health(t, announced["API base URL"]))
	require.Equal(t, "00D00000000000B", announced["org"])
	for _, value := range announced {
		require.NotContains(t, value, "very-secret")
	}
	require.NoError(t, stop())
}

func TestSaysWhatIsWrong(t *testing.T) {
	taken, stop := start(t)
	file := filepath.Join(t.TempDir(), "sandbox.yaml")
	require.NoError(t, os.WriteFile(file, []byte("orgs: []"), 0o600))
	for want, args := range map[string][]string{
		"--listen":                  {"--listen", strings.TrimPrefix(taken["API base URL"], "http://")},
		"no such file":              {"--config", file + ".none"},
		"orgs: at least one":        {"--config", file},
		"--key-out: only without":   {"--config", file, "--key-out", "x"},
		"--key-out":                 {"--key-out", t.TempDir()},
		"unexpected argument \"x\"": {"x"},
		"-other":                    {"--other"},
	} {
		err := command(io.Discard).Run(t.Context(), append([]string{"sandbox"}, args...))
		require.ErrorContains(t, err, want)
	}
	require.NoError(t, stop())
}

func TestHelpHasAnExample(t *testing.T) {
	var out strings.Builder
	require.NoError(t, command(&out).Run(t.Context(), []string{"sandbox", "--help"}))
	require.Contains(t, out.String(), "Example:")
	require.Contains(t, out.String(), "--key-out FILE")
}
