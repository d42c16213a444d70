package interaction_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/interaction"
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func pkcs1() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(testKey())})
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// tokenResponse is the body of a Salesforce token endpoint.
const tokenResponse = `{"access_token":"00D000000000001!AQ.x_y","scope":"interaction_api",
	"instance_url":"https://acme.my.salesforce.com","id":"https://login.salesforce.com/id/1/2","token_type":"Bearer"}`

// flows returns the token sources of both flows for the same endpoint.
func flows(t *testing.T, tokenURL string, timeout time.Duration) map[string]interaction.TokenSource {
	t.Helper()
	bearer, err := interaction.NewJWTBearer(interaction.JWTBearerConfig{
		ConsumerKey: "consumer", Username: "user@example.com", PrivateKey: pkcs1(), TokenURL: tokenURL, Timeout: timeout,
	})
	require.NoError(t, err)
	credentials, err := interaction.NewClientCredentials(interaction.ClientCredentialsConfig{
		ClientID: "consumer", ClientSecret: "s3cret+value", TokenURL: tokenURL, Timeout: timeout,
	})
	require.NoError(t, err)
	return map[string]interaction.TokenSource{"JWT bearer": bearer, "client credentials": credentials}
}

// newTokenEndpoint returns a token endpoint and the forms that it receives.
func newTokenEndpoint(t *testing.T) (tokenURL string, forms <-chan url.Values) {
	t.Helper()
	received := make(chan url.Values, 10)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		received <- r.PostForm
		respond(200, tokenResponse)(w, r)
	})
	return server.URL + "/services/oauth2/token", received
}

func TestJWTBearerSendsAnAssertion(t *testing.T) {
	withCertificate := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("any")}), pkcs1()...)
	for name, config := range map[string]interaction.JWTBearerConfig{
		"defaults":        {PrivateKey: pkcs1()},
		"PKCS #8":         {PrivateKey: pkcs8(t, testKey())},
		"CRLF":            {PrivateKey: bytes.ReplaceAll(pkcs1(), []byte("\n"), []byte("\r\n"))},
		"with a cert":     {PrivateKey: withCertificate},
		"sandbox, 3 mins": {PrivateKey: pkcs1(), Audience: interaction.SandboxLogin, AssertionLifetime: 3 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			tokenURL, forms := newTokenEndpoint(t)
			config.ConsumerKey, config.Username, config.TokenURL = "consumer", "user@example.com", tokenURL
			source, err := interaction.NewJWTBearer(config)
			require.NoError(t, err)
			token, err := source.Token(t.Context())
			require.NoError(t, err)
			require.Equal(t, "00D000000000001!AQ.x_y", token)

			form := receive(t, forms)
			require.Equal(t, "urn:ietf:params:oauth:grant-type:jwt-bearer", form.Get("grant_type"))
			require.Len(t, form, 2)
			audience, lifetime := interaction.ProductionLogin, 2*time.Minute
			if config.Audience != "" {
				audience, lifetime = config.Audience, config.AssertionLifetime
			}
			claims := jwt.MapClaims{}
			parsed, err := jwt.ParseWithClaims(form.Get("assertion"), claims,
				func(*jwt.Token) (any, error) { return testKey().Public(), nil },
				jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer("consumer"), jwt.WithSubject("user@example.com"),
				jwt.WithAudience(audience), jwt.WithExpirationRequired())
			require.NoError(t, err)
			require.True(t, parsed.Valid)
			ahead := time.Until(time.Unix(int64(claims["exp"].(float64)), 0))
			require.InDelta(t, lifetime, ahead, float64(5*time.Second), "exp is in seconds")
			require.LessOrEqual(t, ahead, 3*time.Minute)
		})
	}
}

func TestDefaultTokenURLBelongsToTheAudience(t *testing.T) {
	requested := make(chan string, 1)
	source, err := interaction.NewJWTBearer(interaction.JWTBearerConfig{
		ConsumerKey: "consumer", Username: "user", PrivateKey: pkcs1(), Audience: interaction.SandboxLogin,
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			requested <- r.URL.String()
			return nil, io.EOF
		}),
	})
	require.NoError(t, err)
	_, err = source.Token(t.Context())
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, "https://test.salesforce.com/services/oauth2/token", receive(t, requested))
}

func TestClientCredentialsSendsTheSecretInTheBody(t *testing.T) {
	tokenURL, forms := newTokenEndpoint(t)
	token, err := flows(t, tokenURL, 0)["client credentials"].Token(t.Context())
	require.NoError(t, err)
	require.Equal(t, "00D000000000001!AQ.x_y", token)
	require.Equal(t, url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"consumer"}, "client_secret": {"s3cret+value"},
	}, receive(t, forms))
}

// requireTokenErrors requests a token by both flows and calls check with each error.
func requireTokenErrors(
	t *testing.T, tokenURL string, timeout time.Duration, check func(flow string, err *interaction.TokenError),
) {
	t.Helper()
	for flow, source := range flows(t, tokenURL, timeout) {
		_, err := source.Token(t.Context())
		var failure *interaction.TokenError
		require.ErrorAs(t, err, &failure, flow)
		check(flow, failure)
	}
}

func TestTokenEndpointRejectsTheRequest(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "7")
		respond(400, `{"error":"invalid_grant","error_description":"user hasn't approved this consumer"}`)(w, r)
	})
	requireTokenErrors(t, server.URL, 0, func(flow string, err *interaction.TokenError) {
		require.Equal(t, &interaction.TokenError{
			HTTPStatus: 400, Code: "invalid_grant", Description: "user hasn't approved this consumer",
			RetryAfter: 7 * time.Second,
		}, err, flow)
		require.EqualError(t, err, "access token: HTTP 400, invalid_grant, user hasn't approved this consumer")
	})
	require.Len(t, server.requests(), 2, "one request per flow")
}

func TestTokenEndpointFailures(t *testing.T) {
	for name, test := range map[string]struct {
		answer    http.HandlerFunc
		status    int
		malformed bool
		text      string
	}{
		"outage": {respond(503, `<html>down</html>`), 503, false, "no OAuth error"},
		"empty":  {respond(500, ``), 500, false, "no OAuth error"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, 307, false, "redirects are not followed"},
		"redirect to broken": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://[::1")
			w.WriteHeader(302)
		}, 302, false, "redirects"},
		"error under 200":  {respond(200, `{"error":"invalid_client_id"}`), 200, false, "invalid_client_id"},
		"200, empty":       {respond(200, ``), 200, true, "not JSON"},
		"200, HTML":        {respond(200, `<html>login</html>`), 200, true, "not JSON"},
		"200, no token":    {respond(200, `{"token_type":"Bearer"}`), 200, true, "access_token"},
		"200, empty token": {respond(200, `{"access_token":""}`), 200, true, "access_token"},
		"200, bad token":   {respond(200, `{"access_token":"a\r\nX-Evil: 1"}`), 200, true, "access_token"},
		"200, too long":    {respond(200, `{"access_token":"`+strings.Repeat("a", 70<<10)+`"}`), 200, true, "longer than"},
		"200, cut off": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "900")
			respond(200, tokenResponse)(w, r)
		}, 200, true, "cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, test.answer)
			requireTokenErrors(t, server.URL, 0, func(flow string, err *interaction.TokenError) {
				require.Equal(t, test.status, err.HTTPStatus, flow)
				require.Equal(t, test.malformed, err.Err != nil, flow)
				if test.malformed {
					require.ErrorIs(t, err, interaction.ErrMalformedResponse, flow)
				}
				require.ErrorContains(t, err, test.text, flow)
				require.NotContains(t, err.Error(), "\n")
				require.NotContains(t, err.Error(), "aaaa")
			})
			require.Len(t, server.requests(), 2, "one request per flow, and no redirect followed")
		})
	}
}

func TestTokenFailuresThatPass(t *testing.T) {
	oauth := func(code, description string) string {
		return `{"error":"` + code + `","error_description":"` + description + `"}`
	}
	for name, test := range map[string]struct {
		answer  http.HandlerFunc
		passing bool
	}{
		"unknown_error":           {respond(400, oauth("unknown_error", "retry your request")), true},
		"temporarily_unavailable": {respond(400, oauth("temporarily_unavailable", "")), true},
		"server_error":            {respond(400, oauth("server_error", "")), true},
		"rate_limit_exceeded":     {respond(400, oauth("rate_limit_exceeded", "")), true},
		"login rate exceeded":     {respond(400, oauth("invalid_grant", "login rate exceeded")), true},
		"in capitals":             {respond(400, oauth("LOGIN_RATE_EXCEEDED", "")), true},
		"retry your request":      {respond(401, oauth("invalid_request", "Retry your request")), true},
		"under 200":               {respond(200, oauth("server_error", "")), true},
		"REST API": {
			respond(403, `[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]`), true,
		},
		"408": {respond(408, ``), true}, "420": {respond(420, ``), true}, "421": {respond(421, ``), true},
		"425": {respond(425, ``), true}, "429": {respond(429, ``), true}, "500": {respond(500, ``), true},
		"503, though it says invalid_grant": {respond(503, oauth("invalid_grant", "")), true},
		"200, HTML":                         {respond(200, `<html>Maintenance</html>`), true},
		"200, cut off":                      {respond(200, `{"access_tok`), true},
		"invalid_grant":                     {respond(400, oauth("invalid_grant", "user hasn't approved this consumer")), false},
		"invalid_client":                    {respond(401, oauth("invalid_client", "invalid client credentials")), false},
		"inactive_org":                      {respond(400, oauth("inactive_org", "")), false},
		"404, HTML":                         {respond(404, `<html>Not found</html>`), false},
		"302":                               {respond(302, ``), false},
	} {
		requireTokenErrors(t, serve(t, test.answer).URL, 0, func(flow string, err *interaction.TokenError) {
			require.Equal(t, test.passing, err.Passing(), "%s: %s: %v", name, flow, err)
		})
	}
}

func TestTokenEndpointUnreachable(t *testing.T) {
	server := serve(t, success)
	server.Close()
	requireTokenErrors(t, server.URL, 0, func(flow string, err *interaction.TokenError) {
		require.Zero(t, err.HTTPStatus, flow)
		var opErr *net.OpError
		require.ErrorAs(t, err, &opErr, flow)
	})
}

func TestTokenEndpointTimeout(t *testing.T) {
	begun := make(chan struct{}, 2)
	server := serve(t, hang(t, begun))
	requireTokenErrors(t, server.URL, 50*time.Millisecond, func(flow string, err *interaction.TokenError) {
		require.ErrorIs(t, err, context.DeadlineExceeded, flow)
		require.Zero(t, err.HTTPStatus, flow)
		receive(t, begun)
	})
}

func TestTokenErrorHidesSecrets(t *testing.T) {
	secrets := make(chan string, 10)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		secret := r.PostForm.Get("assertion") + r.PostForm.Get("client_secret")
		secrets <- secret
		body, _ := json.Marshal(map[string]string{
			"error":             "bad " + secret,
			"error_description": "got " + secret + " or " + url.QueryEscape(secret) + " or " + secret[:len(secret)-1],
		})
		w.WriteHeader(400)
		_, _ = w.Write(body)
	})
	requireTokenErrors(t, server.URL, 0, func(flow string, err *interaction.TokenError) {
		secret := receive(t, secrets)
		shown := allFormats(err)
		require.NotContains(t, shown, secret, flow)
		require.NotContains(t, shown, url.QueryEscape(secret), flow)
		require.Contains(t, shown, "[redacted]", flow)
		for part := range strings.SplitSeq(secret, ".") {
			if flow == "JWT bearer" {
				require.NotContains(t, shown, part[:len(part)-1])
			}
		}
	})
}

func TestFormattedConfigHidesSecrets(t *testing.T) {
	bearer := interaction.JWTBearerConfig{ConsumerKey: "consumer", PrivateKey: []byte("hunter2")}
	credentials := interaction.ClientCredentialsConfig{ClientID: "consumer", ClientSecret: "hunter2"}
	for _, config := range []any{bearer, &bearer, credentials, &credentials} {
		shown := allFormats(config)
		require.NotContains(t, shown, "hunter2")
		require.NotContains(t, shown, "104 117 110", "as bytes")
		require.NotContains(t, shown, "aHVudGVyMg", "as base64")
		require.Contains(t, shown, "[redacted]")
		encoded, err := json.Marshal(config)
		require.NoError(t, err)
		require.NotContains(t, string(encoded), "hunter2")
		require.NotContains(t, string(encoded), "aHVudGVyMg")
	}
}

func TestNewTokenSourceNamesEveryWrongSetting(t *testing.T) {
	_, err := interaction.NewJWTBearer(interaction.JWTBearerConfig{
		TokenURL: "http://login.example.com", AssertionLifetime: 4 * time.Minute, TokenLifetime: -1, Timeout: -1,
	})
	for _, field := range []string{
		"ConsumerKey", "Username", "PrivateKey", "TokenURL", "AssertionLifetime",
		"TokenLifetime", "Timeout",
	} {
		require.ErrorContains(t, err, field)
	}
	_, err = interaction.NewClientCredentials(interaction.ClientCredentialsConfig{TokenLifetime: -1, Timeout: -1})
	for _, field := range []string{"ClientID", "ClientSecret", "TokenURL", "TokenLifetime", "Timeout"} {
		require.ErrorContains(t, err, field)
	}
}

func TestInvalidPrivateKeys(t *testing.T) {
	elliptic, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	for reason, key := range map[string][]byte{
		"is required":    nil,
		"no PEM block":   []byte("hunter2"),
		"has no PEM":     pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("hunter2")}),
		"cannot be read": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("hunter2")}),
		"is encrypted":   pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("hunter2")}),
		"is encrypted: w": pem.EncodeToMemory(&pem.Block{
			Type:    "RSA PRIVATE KEY",
			Headers: map[string]string{"DEK-Info": "AES"}, Bytes: []byte("x"),
		}),
		"is not an RSA key": pkcs8(t, elliptic),
	} {
		_, err := interaction.NewJWTBearer(interaction.JWTBearerConfig{
			ConsumerKey: "consumer", Username: "user",
			PrivateKey: key,
		})
		require.ErrorContains(t, err, reason)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestRevokedTokenIsFetchedOnceForManyCalls(t *testing.T) {
	var tokenRequests, calls atomic.Int32
	var valid atomic.Value
	valid.Store("")
	tokenServer := serve(t, func(w http.ResponseWriter, r *http.Request) {
		token := "token-" + strconv.Itoa(int(tokenRequests.Add(1)))
		valid.Store(token)
		respond(200, `{"access_token":"`+token+`","token_type":"Bearer"}`)(w, r)
	})
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1); r.Header.Get("Authorization") != "Bearer "+valid.Load().(string) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		success(w, r)
	})
	client := newClient(t, server.URL, flows(t, tokenServer.URL, 0)["JWT bearer"], interaction.ClientOptions{})
	callConcurrently := func(callers int) {
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				if _, err := client.MessagingSession(t.Context(), validRequest()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	callConcurrently(200)
	require.EqualValues(t, 1, tokenRequests.Load())
	require.EqualValues(t, 200, calls.Load())
	valid.Store("") // the token is revoked
	callConcurrently(200)
	require.EqualValues(t, 2, tokenRequests.Load(), "one token request for 200 rejections")
}

// The API rejects every token: the calls of many conversations share the logins.
func TestLoginsOfManyRejectedCalls(t *testing.T) {
	for _, status := range []int{401, 403} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			var logins atomic.Int32
			tokenServer := serve(t, func(w http.ResponseWriter, r *http.Request) {
				respond(200, `{"access_token":"token-`+strconv.Itoa(int(logins.Add(1)))+`"}`)(w, r)
			})
			server := serve(t, respond(status, ``))
			client := newClient(t, server.URL, flows(t, tokenServer.URL, 0)["client credentials"], interaction.ClientOptions{})
			for range 20 {
				require.Equal(t, status, callError(t, client).HTTPStatus)
			}
			require.EqualValues(t, 2, logins.Load())
		})
	}
}

// An expired token that is answered with 403: every call waits for the one new token.
func TestCallsWaitForTheLoginOfAnother(t *testing.T) {
	const calls = 20
	var logins, rejections atomic.Int32
	rejected := make(chan struct{})
	tokenServer := serve(t, func(w http.ResponseWriter, r *http.Request) {
		login := logins.Add(1)
		if login > 1 {
			receive(t, rejected)
		}
		respond(200, `{"access_token":"token-`+strconv.Itoa(int(login))+`"}`)(w, r)
	})
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token-1" {
			success(w, r)
			return
		}
		w.WriteHeader(http.StatusForbidden)
		if rejections.Add(1) == calls {
			close(rejected)
		}
	})
	client := newClient(t, server.URL, flows(t, tokenServer.URL, 0)["client credentials"], interaction.ClientOptions{})
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			if _, err := client.MessagingSession(t.Context(), validRequest()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 2, logins.Load())
}

// Conversations without a right do not take the token from those that have it.
func TestExpiredTokenIsReplacedAlthoughOthersAreRejected(t *testing.T) {
	var logins atomic.Int32
	var valid atomic.Value
	tokenServer := serve(t, func(w http.ResponseWriter, r *http.Request) {
		token := "token-" + strconv.Itoa(int(logins.Add(1)))
		valid.Store("Bearer " + token)
		respond(200, `{"access_token":"`+token+`"}`)(w, r)
	})
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("AuthorizationContext") == "Forbidden":
			w.WriteHeader(http.StatusForbidden)
		case r.Header.Get("Authorization") != valid.Load():
			w.WriteHeader(http.StatusUnauthorized)
		default:
			success(w, r)
		}
	})
	client := newClient(t, server.URL, flows(t, tokenServer.URL, 0)["client credentials"], interaction.ClientOptions{})
	forbidden := validRequest()
	forbidden.AuthorizationContext = "Forbidden"
	for range 3 {
		_, err := client.MessagingSession(t.Context(), forbidden)
		require.Error(t, err)
		_, err = client.MessagingSession(t.Context(), validRequest())
		require.NoError(t, err)
		valid.Store("") // the token is revoked
	}
	_, err := client.MessagingSession(t.Context(), validRequest())
	require.NoError(t, err)
	require.EqualValues(t, 5, logins.Load(), "the first, one for the 403s, and one for each revoked token")
}

// A 403 may be an expired token. If the token endpoint is down, nobody knows yet.
func TestPassingTokenFailureAfterA403(t *testing.T) {
	down := &interaction.TokenError{HTTPStatus: 503}
	server := serve(t, respond(403, ``))
	failure := callError(t, newClient(t, server.URL, &scriptedTokens{first: "a", err: down}, interaction.ClientOptions{}))
	require.ErrorIs(t, failure, down)
}
