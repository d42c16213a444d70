package interaction_test

import (
	"encoding/hex"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/interaction"
)

// escapedForms returns the forms in which a server may repeat a text.
func escapedForms(t *testing.T, text string) map[string]string {
	t.Helper()
	quoted, err := json.Marshal(text)
	require.NoError(t, err)
	escaped := strings.Trim(string(quoted), `"`)
	percent := ""
	unicode := ""
	for _, b := range []byte(text) {
		percent += "%" + hex.EncodeToString([]byte{b})
		unicode += `\u00` + hex.EncodeToString([]byte{b})
	}
	return map[string]string{
		"plain":            text,
		"JSON":             escaped,
		"all unicode":      unicode,
		"query":            url.QueryEscape(text),
		"query lower case": strings.ToLower(url.QueryEscape(text)),
		"path":             url.PathEscape(text),
		"all percent":      percent,
		"HTML":             html.EscapeString(text),
		"URL in URL":       url.QueryEscape(url.QueryEscape(text)),
		"URL in HTML":      html.EscapeString(url.QueryEscape(text)),
	}
}

func TestErrorHidesTheEndUserInAResponse(t *testing.T) {
	for form, echo := range escapedForms(t, endUser) {
		quoted, err := json.Marshal("No end user " + echo + " here, 44 7700\"900123 neither")
		require.NoError(t, err)
		for place, handler := range map[string]http.HandlerFunc{
			"message":          respond(400, `{"code":10105,"message":`+string(quoted)+`}`),
			"code":             respond(400, `{"code":`+string(quoted)+`,"message":"x"}`),
			"reason":           respond(200, `{"success":false,"errorReason":`+string(quoted)+`}`),
			"text":             respond(500, `no user `+echo),
			"malformed":        respond(200, `no user `+echo),
			"other JSON":       respond(404, `{"detail":`+string(quoted)+`}`),
			"beyond the limit": respond(404, strings.Repeat(" ", 490)+echo),
			"location": func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Location"] = []string{"https://example.com/" + url.PathEscape(echo)}
				w.WriteHeader(302)
			},
			"retry after": func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Retry-After"] = []string{echo}
				w.WriteHeader(503)
			},
		} {
			shown := allFormats(responseError(t, handler))
			require.NotContains(t, shown, "900123", "%s, %s", form, place)
			require.NotContains(t, shown, hex.EncodeToString([]byte("900123")), "%s, %s", form, place)
			require.NotContains(t, shown, "%37%37", "%s, %s", form, place)
			require.NotContains(t, shown, `u0037`, "%s, %s", form, place)
		}
	}
}

func TestErrorHidesUnusualEndUsers(t *testing.T) {
	for _, id := range []string{
		"anna.müller@example.com", `back\slash`, "a+b", "emoji-😀-id", "100%", "<tag>", ".*",
		"(?i)x",
	} {
		for form, echo := range map[string]string{
			"plain": id, "upper": strings.ToUpper(id), "query": url.QueryEscape(id), "HTML": html.EscapeString(id),
		} {
			quoted, err := json.Marshal("<" + echo + ">")
			require.NoError(t, err)
			for _, body := range []string{`{"message":` + string(quoted) + `}`, "broken " + string(quoted)} {
				request := validRequest()
				request.EndUserClientID = id
				server := serve(t, respond(400, body))
				_, err = newClient(t, server.URL, newTokens(), interaction.ClientOptions{}).MessagingSession(t.Context(), request)
				require.ErrorContains(t, err, "[redacted]", "%s, %s", id, form)
				require.NotContains(t, err.Error(), echo, "%s, %s", id, form)
			}
		}
	}
}

func TestErrorHidesTheTokenInAResponse(t *testing.T) {
	const (
		first  = "00D000000000001!AQEAQFakeSessionIdOfTheOrg.x_y"
		second = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl"
		opaque = "Opaque/+token=="
	)
	for _, token := range []string{first, second, opaque} {
		forms := map[string]string{"plain": token, "query": url.QueryEscape(token)}
		if token != opaque { // a part of it looks like any other word
			forms["cut off"] = token[:20]
		}
		for form, echo := range forms {
			server := serve(t, respond(401, `{"message":"bad token `+echo+`"}`))
			tokens := &scriptedTokens{first: token, renewals: []string{"another"}}
			failure := callError(t, newClient(t, server.URL, tokens, interaction.ClientOptions{}))
			require.Equal(t, "bad token [redacted]", failure.Message, form)
			require.NotContains(t, allFormats(failure), echo)
		}
	}
}

// What the line of a text looks like counts, whatever an escape before the secret does.
func TestSecretsBehindOtherBytes(t *testing.T) {
	for _, before := range []string{"%", "%2", "\\", `\u00`, "&#x", "\x00", "\xff"} {
		for _, body := range []string{before + "token-one", before + endUser, strings.ReplaceAll(endUser, " ", before+" ")} {
			failure := responseError(t, respond(500, body))
			require.NotContains(t, failure.Error(), "token-one", body)
			require.NotContains(t, failure.Error(), endUser, body)
		}
	}
}

func TestSecretOfAnyBytes(t *testing.T) {
	source, err := interaction.NewClientCredentials(interaction.ClientCredentialsConfig{
		ClientID: "consumer", ClientSecret: "\xffhunter2", TokenURL: serve(t, respond(400, "no")).URL,
	})
	require.NoError(t, err)
	_, err = source.Token(t.Context())
	require.Error(t, err)
}

func TestKnownReasonsAndCodesAreNotRedacted(t *testing.T) {
	request := validRequest()
	request.EndUserClientID = "1"
	server := serve(t, respond(400, `{"code":10071,"message":"session 1"}`),
		respond(200, `{"success":false,"errorReason":"SESSION_NOT_FOUND"}`))
	client := newClient(t, server.URL, newTokens(), interaction.ClientOptions{})
	var failure *interaction.Error
	_, err := client.MessagingSession(t.Context(), request)
	require.ErrorAs(t, err, &failure)
	require.Equal(t, "10071", failure.Code)
	require.Equal(t, "session [redacted]", failure.Message)

	request.EndUserClientID = "SESSION"
	_, err = client.MessagingSession(t.Context(), request)
	require.ErrorAs(t, err, &failure)
	require.Equal(t, interaction.ReasonSessionNotFound, failure.Reason)
}

func BenchmarkFailureWithRedaction(b *testing.B) {
	token := "00D000000000001!" + strings.Repeat("AQEAQ.x_", 12)
	client, err := interaction.NewClient("https://example.com", &scriptedTokens{first: token}, interaction.ClientOptions{
		Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: 429, Header: http.Header{},
				Body: io.NopCloser(strings.NewReader(`{"message":"rate limit exceeded"}`)),
			}, nil
		}),
	})
	require.NoError(b, err)
	for b.Loop() {
		_, _ = client.MessagingSession(b.Context(), validRequest())
	}
}
