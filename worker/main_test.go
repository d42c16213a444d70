package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// runWorker runs the program with these arguments and returns what it prints.
func runWorker(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	t.Setenv("TEMPORAL_CONFIG_FILE", "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	var out bytes.Buffer
	program := app()
	program.Writer, program.ErrWriter = &out, &out
	err := program.Run(t.Context(), append([]string{"worker"}, arguments...))
	return out.String(), err
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func writeConfig(t *testing.T, key string) string {
	t.Helper()
	return writeFile(t, "worker.yaml", `orgs:
  - orgId: 00D000000000001
    apiBaseUrl: https://example.my.salesforce-scrt.com
    jwtBearer: {consumerKey: k, username: u, key: {file: `+writeFile(t, "key.pem", key)+`}}
`)
}

func validKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

func TestCheckConfig(t *testing.T) {
	path := writeConfig(t, validKey(t))
	out, err := runWorker(t, "-check-config", "-config", path)
	require.NoError(t, err)
	require.Equal(t, path+" is valid: task queue sessionkeeper\n"+
		"  org 00D000000000001 at https://example.my.salesforce-scrt.com\n", out)

	t.Setenv("SESSIONKEEPER_CONFIG", path)
	_, err = runWorker(t, "-check-config")
	require.NoError(t, err)
}

func TestCheckConfigReportsAnInvalidKey(t *testing.T) {
	path := writeConfig(t, "no key")
	out, err := runWorker(t, "-check-config", "-config", path)
	require.ErrorContains(t, err, "configuration "+path+":\n  line 4: orgs[0].jwtBearer.key: file ")
	require.ErrorContains(t, err, "key.pem has no PEM block with a private key")
	require.Empty(t, out)
}

func TestCheckConfigChecksTheFlagsAndTheEnvironment(t *testing.T) {
	path := writeConfig(t, validKey(t))
	for _, test := range []struct {
		arguments []string
		want      string
	}{
		{[]string{"-log-format", "xml"}, `log format "xml": want json or console`},
		{[]string{"-log-level", "verbose"}, `log level "verbose": want debug, info, warn or error`},
	} {
		_, err := runWorker(t, append(test.arguments, "-check-config", "-config", path)...)
		require.EqualError(t, err, test.want)
	}
	t.Setenv("TEMPORAL_TLS_CLIENT_CERT_PATH", "/no/such/cert.pem")
	_, err := runWorker(t, "-check-config", "-config", path)
	require.ErrorContains(t, err, "read Temporal's connection settings: ")
}

func TestInvalidCommandLines(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		want      string
	}{
		"unexpected argument": {[]string{"start"}, `unexpected argument "start"`},
		"unknown flag":        {[]string{"-confg", "x"}, "flag provided but not defined: -confg"},
		"no such file": {
			[]string{"-config", "/no/worker.yaml"}, "read configuration: open /no/worker.yaml: no such file or directory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := runWorker(t, test.arguments...)
			require.EqualError(t, err, test.want)
			require.Empty(t, out, "only main prints the error")
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	out, err := runWorker(t, "-help")
	require.NoError(t, err)
	require.Contains(t, out, "Example:\n      worker -config deploy/worker.example.yaml -check-config")
	for _, word := range []string{
		"--healthcheck", "--check-config", "--listen", "SESSIONKEEPER_LISTEN",
		"TEMPORAL_ADDRESS", "SIGTERM",
	} {
		require.Contains(t, out, word)
	}
	out, err = runWorker(t, "-version")
	require.NoError(t, err)
	require.Equal(t, "worker version dev\n", out)
}

func TestHealthcheck(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("request for %s", r.URL.Path)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte("first\nsecond\n"))
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")

	out, err := runWorker(t, "-healthcheck", "-listen", address)
	require.NoError(t, err)
	require.Equal(t, "ready\n", out)

	status = http.StatusServiceUnavailable
	t.Setenv("SESSIONKEEPER_LISTEN", address)
	out, err = runWorker(t, "-healthcheck")
	require.EqualError(t, err, server.URL+"/readyz answered 503: first second")
	require.Empty(t, out)
}

func TestFailureIsLoggedAndNotPrinted(t *testing.T) {
	_, err := runWorker(t, "-config", writeConfig(t, validKey(t)), "-listen", "nowhere.invalid:1", "-log-level", "error")
	require.ErrorIs(t, err, errLogged)
}
