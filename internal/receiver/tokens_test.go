package receiver_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/access"
	"sessionkeeper/internal/receiver"
)

// tokenLine is the line of a token in a file.
func tokenLine(name, token, orgs string) string {
	return fmt.Sprintf("- {name: %s, orgs: [%s], sha256: \"%x\"}\n", name, orgs, sha256.Sum256([]byte(token)))
}

func writeTokens(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// replaceFile replaces a file atomically, as Kubernetes does with a mounted secret.
func replaceFile(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.Rename(writeTokens(t, text), path))
}

// startWithTokens starts a server that reads its tokens from a file, and often.
func startWithTokens(t *testing.T, text string) (srv *testServer, path string) {
	t.Helper()
	path = writeTokens(t, text)
	tokens, err := access.ReadTokens(path)
	require.NoError(t, err)
	tokens.Interval = 5 * time.Millisecond
	return startServer(t, func(o *receiver.Options) { o.Tokens = tokens }), path
}

// statusWith is the status of the answer to a query with a token.
func (srv *testServer) statusWith(t *testing.T, token string) int {
	t.Helper()
	return srv.get(t, "/v1/conversations/00D000000000001/nobody", "Authorization", "Bearer "+token).status
}

func (srv *testServer) becomes(t *testing.T, status int, token string) {
	t.Helper()
	require.Eventually(t, func() bool { return srv.statusWith(t, token) == status }, 10*time.Second, time.Millisecond)
}

func TestTokensAreReplacedWithoutInterruption(t *testing.T) {
	const old, next = "old-token-0123456789", "next-token-0123456789"
	srv, path := startWithTokens(t, "# first\n"+tokenLine("old", old, "all"))
	require.Equal(t, http.StatusNotFound, srv.statusWith(t, old))
	require.Equal(t, http.StatusUnauthorized, srv.statusWith(t, next))

	replaceFile(t, path, tokenLine("old", old, "all")+"\r\n\n"+tokenLine("next", next, "all"))
	srv.becomes(t, http.StatusNotFound, next)
	require.Equal(t, http.StatusNotFound, srv.statusWith(t, old))

	replaceFile(t, path, tokenLine("next", next, "all")+"- short\n")
	require.Eventually(t, func() bool { return srv.log.count("The tokens were not replaced") == 1 },
		10*time.Second, time.Millisecond)
	require.Equal(t, http.StatusNotFound, srv.statusWith(t, old), "an invalid file changes nothing")
	_, metrics := srv.getMonitoring(t, "/metrics")
	require.Contains(t, metrics, "\nsessionkeeper_tokens_stale 1\n")
	require.Contains(t, metrics, "\nsessionkeeper_tokens 2\n")

	replaceFile(t, path, tokenLine("next", next, "all"))
	srv.becomes(t, http.StatusUnauthorized, old)
	require.Equal(t, http.StatusNotFound, srv.statusWith(t, next))
	require.NotContains(t, srv.log.String(), "0123456789")
	require.Equal(t, 1, srv.log.count("The tokens were not replaced"), "logged once per change, not per poll: %s", srv.log)
	_, metrics = srv.getMonitoring(t, "/metrics")
	require.Contains(t, metrics, "\nsessionkeeper_tokens_stale 0\n")
}

func TestEmptiedTokenFileRejectsEverybody(t *testing.T) {
	srv, path := startWithTokens(t, tokenLine("router", token, "all"))
	require.Equal(t, http.StatusNotFound, srv.statusWith(t, token))
	replaceFile(t, path, "")
	srv.becomes(t, http.StatusUnauthorized, token)
}

func TestUnreadableTokenFileAsksToRetry(t *testing.T) {
	srv, path := startWithTokens(t, tokenLine("router", token, "all"))
	require.NoError(t, os.Remove(path))
	srv.becomes(t, http.StatusServiceUnavailable, token)
	got := srv.post(t, structuredType, message("c1"))
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.Equal(t, "5", got.header.Get("Retry-After"))
	require.Equal(t, 1, srv.log.count("The tokens cannot be read"), srv.log)
	require.NoError(t, os.WriteFile(path, []byte(tokenLine("router", token, "all")), 0o600))
	srv.becomes(t, http.StatusNotFound, token)
}

// The messages that a removed token has absorbed are reported.
func TestRemovedTokenIsDrained(t *testing.T) {
	srv, path := startWithTokens(t, tokenLine("router", token, "all"))
	srv.post(t, batchType, batch(message("c1"), message("c1"))).accepted(t)
	replaceFile(t, path, "")
	srv.becomes(t, http.StatusUnauthorized, token)
	require.Eventually(t, func() bool { return len(srv.signals("c1")) == 2 }, 10*time.Second, time.Millisecond)
	calls := srv.temporal.Calls()
	require.NotContains(t, string(calls[len(calls)-1].Payload), `"duration"`, "the lease is released")
	_, metrics := srv.getMonitoring(t, "/metrics")
	require.Contains(t, metrics, "\nsessionkeeper_sender_absorbed_total 1\n", "a counter never goes back")
}

func TestNewToken(t *testing.T) {
	token, line, err := access.NewToken("router", []string{"00D000000000001", "00D000000000002"})
	require.NoError(t, err)
	require.NotContains(t, line, token)
	tokens, err := access.ParseTokens(line)
	require.NoError(t, err)
	srv := startServer(t, func(o *receiver.Options) { o.Tokens = tokens })
	require.Equal(t, http.StatusNotFound, srv.statusWith(t, token))

	other, _, err := access.NewToken("router", []string{"all"})
	require.NoError(t, err)
	require.NotEqual(t, token, other)
	_, _, err = access.NewToken("router", []string{"00D"})
	require.ErrorContains(t, err, "orgs: want 15-character ids")
	_, _, err = access.NewToken("\n", []string{"all"})
	require.ErrorContains(t, err, "name: want at most 64")
}
