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

func TestWithoutAGoodTokenNobodyComesIn(t *testing.T) {
	d := open(t)
	for _, wrong := range []string{
		"", "Bearer", "Bearer ", token, "Basic " + token, "Bearer " + token + "x", "Bearer " + token[:len(token)-1],
		"Bearer " + strings.ToUpper(token), "Bearer x" + strings.Repeat("x", 10_000),
	} {
		for _, got := range []answer{
			d.do(t, http.MethodPost, "/v1/events", strings.NewReader(message("c1")), "Content-Type", one, "Authorization", wrong),
			d.get(t, "/v1/conversations/00D000000000001/c1", "Authorization", wrong),
		} {
			require.Equal(t, http.StatusUnauthorized, got.status)
			require.Contains(t, got.header.Get("WWW-Authenticate"), "Bearer")
			got.problem(t)
		}
	}
	require.Empty(t, d.temporal.Calls())
	require.NotContains(t, d.log.String(), token[:8])
	require.Equal(t, http.StatusAccepted, d.do(t, http.MethodPost, "/v1/events", strings.NewReader(message("c1")),
		"Content-Type", one, "Authorization", "bearer "+token).status, "the scheme is not case-sensitive")
}

func tokensFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// rewrite replaces a file at once, as a mounted secret is.
func rewrite(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.Rename(tokensFile(t, text), path))
}

func TestTokensAreChangedWithoutAnInterruption(t *testing.T) {
	const old, next = "old-token-0123456789", "next-token-0123456789"
	path := tokensFile(t, "# first\n"+old+"\n")
	tokens, err := receiver.ReadTokens(path)
	require.NoError(t, err)
	receiver.RereadAfter(tokens, 5*time.Millisecond)
	d := open(t, func(o *receiver.Options) { o.Tokens = tokens })
	status := func(token string) int {
		return d.get(t, "/v1/conversations/00D000000000001/c1", "Authorization", "Bearer "+token).status
	}
	require.Equal(t, http.StatusNotFound, status(old))
	require.Equal(t, http.StatusUnauthorized, status(next))

	rewrite(t, path, old+"\r\n\n  "+next+" \n")
	require.Eventually(t, func() bool { return status(next) == http.StatusNotFound }, 10*time.Second, time.Millisecond)
	require.Equal(t, http.StatusNotFound, status(old))

	rewrite(t, path, next+"\nshort\n")
	require.Eventually(t, func() bool { return d.log.count("Tokens stay as they are") == 1 }, 10*time.Second, time.Millisecond)
	require.Equal(t, http.StatusNotFound, status(old), "a wrong file locks nobody out")

	rewrite(t, path, next)
	require.Eventually(t, func() bool { return status(old) == http.StatusUnauthorized }, 10*time.Second, time.Millisecond)
	require.Equal(t, http.StatusNotFound, status(next))
	require.NotContains(t, d.log.String(), "0123456789")
	require.Equal(t, 1, d.log.count("Tokens stay as they are"), "said once, not with every look: %s", d.log)
}

func TestTokensThatAreNone(t *testing.T) {
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
		_, err := receiver.ReadTokens(tokensFile(t, text))
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := receiver.ReadTokens(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = receiver.ReadTokens(tokensFile(t, strings.Repeat(good+"\n", 1<<17)))
	require.ErrorContains(t, err, "larger than 1 MiB")

	_, err = receiver.ParseTokens(good + "," + good + "x\n" + good + "y")
	require.NoError(t, err)
	_, err = receiver.ParseTokens(good + ",short")
	require.ErrorContains(t, err, "token 2")
	_, err = receiver.ParseTokens(" , ")
	require.ErrorContains(t, err, "want at least one token")
}

func TestWithoutTokensOnlyOnLoopback(t *testing.T) {
	d := open(t, func(o *receiver.Options) { o.Tokens = nil })
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+"/v1/events", strings.NewReader(message("c1")))
	require.NoError(t, err)
	request.Header.Set("Content-Type", one)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusAccepted, response.StatusCode)

	for _, everywhere := range []string{":0", "0.0.0.0:0", "[::]:0"} {
		err := receiver.Run(t.Context(), receiver.Options{Listen: everywhere, MetricsListen: "127.0.0.1:0", Logger: quiet()})
		require.ErrorContains(t, err, "without tokens want a loopback address")
	}
}
