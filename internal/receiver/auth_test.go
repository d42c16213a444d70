package receiver_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/receiver"
)

func TestInvalidTokensAreRejected(t *testing.T) {
	srv := startServer(t)
	for _, wrong := range []string{
		"", "Bearer", "Bearer ", token, "Basic " + token, "Bearer " + token + "x", "Bearer " + token[:len(token)-1],
		"Bearer " + strings.ToUpper(token), "Bearer x" + strings.Repeat("x", 10_000),
	} {
		for _, got := range []httpResponse{
			srv.do(t, http.MethodPost, "/v1/events", strings.NewReader(message("c1")),
				"Content-Type", structuredType, "Authorization", wrong),
			srv.get(t, "/v1/conversations/00D000000000001/c1", "Authorization", wrong),
		} {
			require.Equal(t, http.StatusUnauthorized, got.status)
			require.Contains(t, got.header.Get("WWW-Authenticate"), "Bearer")
			got.problem(t)
		}
	}
	require.Empty(t, srv.temporal.Calls())
	require.NotContains(t, srv.log.String(), token[:8])
	require.Equal(t, http.StatusAccepted, srv.do(t, http.MethodPost, "/v1/events", strings.NewReader(message("c1")),
		"Content-Type", structuredType, "Authorization", "bearer "+token).status, "the scheme is not case-sensitive")
}

func writeTokens(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// replaceFile replaces a file atomically, as Kubernetes does with a mounted secret.
func replaceFile(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.Rename(writeTokens(t, text), path))
}

func TestTokensAreReplacedWithoutInterruption(t *testing.T) {
	const old, next = "old-token-0123456789", "next-token-0123456789"
	path := writeTokens(t, "# first\n"+old+"\n")
	tokens, err := receiver.ReadTokens(path)
	require.NoError(t, err)
	receiver.SetPollInterval(tokens, 5*time.Millisecond)
	srv := startServer(t, func(o *receiver.Options) { o.Tokens = tokens })
	status := func(token string) int {
		return srv.get(t, "/v1/conversations/00D000000000001/c1", "Authorization", "Bearer "+token).status
	}
	require.Equal(t, http.StatusNotFound, status(old))
	require.Equal(t, http.StatusUnauthorized, status(next))

	replaceFile(t, path, old+"\r\n\n  "+next+" \n")
	require.Eventually(t, func() bool { return status(next) == http.StatusNotFound }, 10*time.Second, time.Millisecond)
	require.Equal(t, http.StatusNotFound, status(old))

	replaceFile(t, path, next+"\nshort\n")
	require.Eventually(t, func() bool { return srv.log.count("The tokens were not replaced") == 1 },
		10*time.Second, time.Millisecond)
	require.Equal(t, http.StatusNotFound, status(old), "an invalid file changes nothing")

	replaceFile(t, path, next)
	require.Eventually(t, func() bool { return status(old) == http.StatusUnauthorized }, 10*time.Second, time.Millisecond)
	require.Equal(t, http.StatusNotFound, status(next))
	require.NotContains(t, srv.log.String(), "0123456789")
	require.Equal(t, 1, srv.log.count("The tokens were not replaced"), "logged once per change, not per poll: %s", srv.log)
}

func TestInvalidTokenFiles(t *testing.T) {
	const good = "0123456789abcdef"
	for text, want := range map[string]string{
		"":                                  "want at least one token",
		"# nothing\n\n":                     "want at least one token",
		good[:15]:                           "token 1: want at least 16 characters",
		good + "\nsecret-and-short":         "",
		good + "\nsecret":                   "token 2: want at least 16 characters",
		good + "\ntwo words in it, of them": "token 2: want letters, digits",
		"ümlaut-0123456789abcdef":           "token 1: want letters, digits",
	} {
		_, err := receiver.ReadTokens(writeTokens(t, text))
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := receiver.ReadTokens(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = receiver.ReadTokens(writeTokens(t, strings.Repeat(good+"\n", 1<<17)))
	require.ErrorContains(t, err, "larger than 1 MiB")

	_, err = receiver.ParseTokens(good + "," + good + "x\n" + good + "y")
	require.NoError(t, err)
	_, err = receiver.ParseTokens(good + ",short")
	require.ErrorContains(t, err, "token 2")
	_, err = receiver.ParseTokens(" , ")
	require.ErrorContains(t, err, "want at least one token")
}
