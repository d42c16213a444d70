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

// start runs the command and returns the settings that it prints. The caller must
// call stop.
func start(t *testing.T, args ...string) (settings map[string]string, stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := command(write).Run(ctx, append([]string{"sandbox", "--listen", "127.0.0.1:0"}, args...))
		_ = write.CloseWithError(io.EOF)
		ended <- err
	}()
	stop = func() error { cancel(); return <-ended }
	settings = map[string]string{}
	lines := bufio.NewScanner(read)
	for lines.Scan() {
		name, value, found := strings.Cut(lines.Text(), "  ")
		if found {
			settings[name] = strings.TrimSpace(value)
		}
		if name == "audience" {
			go func() { _, _ = io.Copy(io.Discard, read) }()
			return settings, stop
		}
	}
	t.Fatalf("the command ended: %v", <-ended)
	return nil, nil
}

func healthStatus(t *testing.T, url string) int {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/_sandbox/health", nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

func TestRunsWithDemoOrg(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key.pem")
	settings, stop := start(t, "-key-out", key)
	require.Equal(t, http.StatusOK, healthStatus(t, settings["API base URL"]))
	require.NotEmpty(t, settings["consumer key"])
	require.NotEmpty(t, settings["user name"])
	pem, err := os.ReadFile(key)
	require.NoError(t, err)
	_, err = jwt.ParseRSAPrivateKeyFromPEM(pem)
	require.NoError(t, err)
	info, err := os.Stat(key)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoError(t, stop())
}

func TestRunsWithConfigFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sandbox.yaml")
	text := "orgs: [{orgId: 00D00000000000B, consumerKey: k, clientSecret: very-secret, channelDefinitions: [d]}]"
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	settings, stop := start(t, "--config", file)
	require.Equal(t, http.StatusOK, healthStatus(t, settings["API base URL"]))
	require.Equal(t, "00D00000000000B", settings["org"])
	for _, value := range settings {
		require.NotContains(t, value, "very-secret")
	}
	require.NoError(t, stop())
}

func TestReportsInvalidFlags(t *testing.T) {
	settings, stop := start(t)
	file := filepath.Join(t.TempDir(), "sandbox.yaml")
	require.NoError(t, os.WriteFile(file, []byte("orgs: []"), 0o600))
	for want, args := range map[string][]string{
		"--listen":                  {"--listen", strings.TrimPrefix(settings["API base URL"], "http://")},
		"no such file":              {"--config", file + ".none"},
		"orgs: at least one":        {"--config", file},
		"--key-out: cannot be":      {"--config", file, "--key-out", "x"},
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
