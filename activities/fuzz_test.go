package activities_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/interaction"
)

const accessToken = "00D000000000001!AQEAQ.secret_token"

// answers is a server's answer to every request.
type answers struct {
	status int
	header http.Header
	body   string // {sent} is replaced by the credential of a token request
	sent   *string
}

func newAnswers(status int, retryAfter, contentType, contentEncoding, body string) answers {
	return answers{status, http.Header{
		"Retry-After": {retryAfter}, "Content-Type": {contentType}, "Content-Encoding": {contentEncoding},
	}, body, new(string)}
}

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	body := a.body
	if err := r.ParseForm(); err == nil && r.PostForm.Has("grant_type") {
		*a.sent = r.PostForm.Get("client_secret") + r.PostForm.Get("assertion")
		body = strings.ReplaceAll(body, "{sent}", *a.sent)
	}
	return &http.Response{
		StatusCode: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

func fuzzedRequest() interaction.Request {
	r := request()
	return interaction.Request{
		OrgID: r.OrgID, AuthorizationContext: r.AuthorizationContext,
		ChannelAddressIdentifier: r.ChannelAddressIdentifier, EndUserClientID: endUser,
		ConversationIdentifier: r.ConversationIdentifier, SessionID: r.SessionID,
		Operation: interaction.End, RequestID: uuid.MustParse("6ba7b810-9dad-41d1-80b4-00c04fd430c8"),
	}
}

// requireHarmless checks what is shown of an error, and that its verdict is known.
func requireHarmless(t *testing.T, err error, secrets ...string) activities.Decision {
	t.Helper()
	decision := activities.Decide(err)
	require.Contains(t, []activities.Verdict{retry, capped, done, operator}, decision.Verdict)
	require.NotEmpty(t, decision.Reason)
	for _, shown := range []string{err.Error(), activities.Explain(conversation.End, decision, err), decision.Reason} {
		require.True(t, utf8.ValidString(shown))
		require.NotContains(t, shown, "\n")
		require.Less(t, utf8.RuneCountInString(shown), 1500)
		for _, secret := range secrets {
			require.NotContains(t, shown, secret)
		}
	}
	return decision
}

func FuzzAPIAnswer(f *testing.F) {
	for _, body := range []string{
		``, `null`, `{"success":true}`, `{"success":false}`, `{"success":false,"errorReason":"SESSION_NOT_FOUND"}`,
		`{"errorReason":"SESSION_NOT_FOUND"}`, `{"success":null,"ErrorReason":"NO_ACCESS"}`, `{"Success":true,"success":0}`,
		`{"code":10071,"message":"no session of ` + endUser + `"}`, `{"code":"ACTIVE_CONVERSATION_NOT_FOUND"}`,
		`[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`, `[]`, `[[]]`, `{"code":{}}`,
		`{"message":"%2B49%20170%201234567 \u002b49 170 1234567 ` + accessToken + `"}`, "\ufeff{}", "\xff\x00", "\x1f\x8b\x08",
		"<html>" + strings.ReplaceAll(endUser, " ", "\x00") + "</html>", `{"success":false,"errorReason":"+49\u00a0170 1234567"}`,
		strings.Repeat(endUser+" ", 100), `{"code":99999999999999999999,"symbol":"X"}`,
	} {
		for _, status := range []int{200, 204, 302, 401, 403, 404, 420, 503} {
			f.Add(status, "7", "application/json", "", body)
		}
		f.Add(200, "Wed, 21 Oct 2999 07:28:00 GMT", "text/html", "gzip", body)
	}
	f.Fuzz(func(t *testing.T, status int, retryAfter, contentType, contentEncoding, body string) {
		client, err := interaction.NewClient("https://example.com", fixedToken(accessToken), interaction.ClientOptions{
			Transport: newAnswers(status, retryAfter, contentType, contentEncoding, body),
		})
		require.NoError(t, err)
		_, err = client.MessagingSession(t.Context(), fuzzedRequest())
		if err == nil {
			require.True(t, status >= 200 && status <= 299)
			require.True(t, contentEncoding != "" || strings.Contains(body, "true"))
			return
		}
		decision := requireHarmless(t, err, endUser, accessToken)
		if decision.Verdict == done && status >= 200 && status <= 299 {
			require.True(t, contentEncoding != "" || strings.Contains(body, "false"), "an answer without success is not done")
		}
	})
}

func FuzzTokenAnswer(f *testing.F) {
	for _, body := range []string{
		``, `null`, `{}`, `[]`, `{"access_token":"` + accessToken + `","token_type":"Bearer"}`, `{"access_token":1}`,
		`{"access_token":"a\nb"}`, `{"access_token":"x","expires_in":"soon"}`, `{"access_token":"x","id_token":"a.b.c"}`,
		`{"error":"invalid_grant","error_description":"login rate exceeded for {sent}"}`,
		`{"error":"unknown_error","error_description":"retry your request"}`, `{"error":{"message":"x"}}`, "\ufeff{}",
		`[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]`, "<html>\xff</html>",
		`{"error":"` + strings.Repeat("x", 5000) + `"}`, `access_token=x&token_type=Bearer`,
	} {
		for _, status := range []int{200, 302, 400, 401, 403, 420, 503} {
			f.Add(status, "7", "application/json", "", body, status == 400)
		}
		f.Add(200, "-1", "application/x-www-form-urlencoded", "gzip", body, true)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(f, err)
	keyText := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	f.Fuzz(func(t *testing.T, status int, retryAfter, contentType, contentEncoding, body string, bearer bool) {
		endpoint := newAnswers(status, retryAfter, contentType, contentEncoding, body)
		tokens, err := interaction.NewClientCredentials(interaction.ClientCredentialsConfig{
			ClientID: "key", ClientSecret: clientSecret, TokenURL: "https://example.com/token", Transport: endpoint,
		})
		if bearer {
			tokens, err = interaction.NewJWTBearer(interaction.JWTBearerConfig{
				ConsumerKey: "key", Username: "user", PrivateKey: keyText, Transport: endpoint,
			})
		}
		require.NoError(t, err)
		client, err := interaction.NewClient("https://example.com", tokens, interaction.ClientOptions{
			Transport: newAnswers(200, "", "", "", `{"success":true}`),
		})
		require.NoError(t, err)
		if _, err = client.MessagingSession(t.Context(), fuzzedRequest()); err == nil {
			require.True(t, status >= 200 && status <= 299)
			return
		}
		decision := requireHarmless(t, err, accessToken, *endpoint.sent)
		require.True(t, slices.Contains([]activities.Verdict{retry, capped}, decision.Verdict), decision.Verdict)
		require.True(t, strings.HasPrefix(decision.Reason, "TOKEN_"), decision.Reason)
	})
}
