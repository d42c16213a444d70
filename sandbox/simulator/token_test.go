package simulator_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"sessionkeeper/sandbox/simulator"
)

func TestTokenIsGranted(t *testing.T) {
	l := newLab(t)
	r := l.tokenCall(bearerForm(l.assertion(nil)))
	require.Equal(t, http.StatusOK, r.status)
	require.Contains(t, r.body["access_token"], orgA+"!")
	require.Equal(t, "Bearer", r.body["token_type"])
	require.Equal(t, "interaction_api", r.body["scope"])
	require.NotContains(t, r.body, "expires_in")
	require.NotContains(t, r.body["instance_url"], l.url, "instance_url is not the API's address")
	require.NotEmpty(t, r.body["id"])

	form := url.Values{"grant_type": {"client_credentials"}}
	r = l.do(http.MethodPost, "/services/oauth2/token", map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Basic Yi1rZXk6Yi1zZWNyZXQ=",
	}, form.Encode())
	require.Contains(t, r.body["access_token"], orgB+"!", "client credentials as Basic")
}

func TestTokenIsRefused(t *testing.T) {
	l := newLab(t)
	now := l.clock()
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	hs256, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": simulator.DemoConsumerKey}).SignedString([]byte("x"))
	require.NoError(t, err)
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"iss": simulator.DemoConsumerKey}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(t, err)
	_, key := demoOrg()
	rs512, err := jwt.NewWithClaims(jwt.SigningMethodRS512, jwt.MapClaims{"iss": simulator.DemoConsumerKey}).SignedString(key)
	require.NoError(t, err)
	forged := strings.Split(l.assertion(nil), ".")
	forged[2] = strings.Split(l.assertion(jwt.MapClaims{"exp": in(time.Second)}), ".")[2]
	claims := func(c jwt.MapClaims) url.Values { return bearerForm(l.assertion(c)) }
	client := func(id, secret string) url.Values {
		return url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
	}

	for name, test := range map[string]struct {
		form             url.Values
		error, describes string
		violation        bool
	}{
		"no grant type":        {url.Values{}, "invalid_request", "grant_type", true},
		"other grant type":     {url.Values{"grant_type": {"password"}}, "unsupported_grant_type", "grant_type", true},
		"field given twice":    {url.Values{"grant_type": {"password", "password"}}, "invalid_request", "twice", true},
		"no assertion":         {bearerForm(""), "invalid_request", "assertion", true},
		"no JWT":               {bearerForm("abc"), "invalid_grant", "JWT", true},
		"unknown issuer":       {claims(jwt.MapClaims{"iss": "other"}), "invalid_client_id", "iss", false},
		"no issuer":            {claims(jwt.MapClaims{"iss": nil}), "invalid_client_id", "iss", false},
		"unknown user":         {claims(jwt.MapClaims{"sub": "other"}), "invalid_grant", "sub", false},
		"wrong audience":       {claims(jwt.MapClaims{"aud": "https://example.com"}), "invalid_grant", "aud", false},
		"no audience":          {claims(jwt.MapClaims{"aud": nil}), "invalid_grant", "aud", false},
		"no exp":               {claims(jwt.MapClaims{"exp": nil}), "invalid_grant", "exp", true},
		"exp as text":          {claims(jwt.MapClaims{"exp": "soon"}), "invalid_grant", "exp", true},
		"exp in milliseconds":  {claims(jwt.MapClaims{"exp": now.Add(time.Minute).UnixMilli()}), "invalid_grant", "milliseconds", true},
		"exp too far ahead":    {claims(jwt.MapClaims{"exp": in(3*time.Minute + 10*time.Second)}), "invalid_grant", "3 minutes", true},
		"expired":              {claims(jwt.MapClaims{"exp": in(-10 * time.Second)}), "invalid_grant", "expired", false},
		"HS256":                {bearerForm(hs256), "invalid_grant", "RS256", false},
		"RS512":                {bearerForm(rs512), "invalid_grant", "RS256", false},
		"unsigned":             {bearerForm(none), "invalid_grant", "RS256", false},
		"another's signature":  {bearerForm(strings.Join(forged, ".")), "invalid_grant", "signature", false},
		"org without key":      {claims(jwt.MapClaims{"iss": "b-key"}), "invalid_grant", "certificate", false},
		"unknown client":       {client("x", "x"), "invalid_client_id", "client_id", false},
		"wrong secret":         {client("b-key", "x"), "invalid_client", "client_secret", false},
		"org without a secret": {client(simulator.DemoConsumerKey, ""), "invalid_grant", "client credentials", false},
		"too large":            {bearerForm(strings.Repeat("x", 70_000)), "invalid_request", "too large", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := l.tokenCall(test.form)
			require.Equal(t, http.StatusBadRequest, r.status)
			require.Equal(t, test.error, r.body["error"])
			require.Contains(t, r.body["error_description"], test.describes)
			require.Len(t, r.body, 2)
			require.Equal(t, test.error, l.last().ErrorReason)
			require.Equal(t, test.violation, len(l.last().Violations) > 0, "%v", l.last().Violations)
		})
	}

	t.Run("edges of exp", func(t *testing.T) {
		require.Equal(t, http.StatusOK, l.tokenCall(claims(jwt.MapClaims{"exp": in(3 * time.Minute)})).status)
		require.Equal(t, http.StatusOK, l.tokenCall(claims(jwt.MapClaims{"exp": in(-time.Second)})).status)
	})
	t.Run("GET", func(t *testing.T) {
		require.Equal(t, "invalid_request", l.do(http.MethodGet, "/services/oauth2/token", nil, "").body["error"])
	})
	t.Run("JSON", func(t *testing.T) {
		r := l.do(http.MethodPost, "/services/oauth2/token", map[string]string{"Content-Type": "application/json"}, "{}")
		require.Contains(t, r.body["error_description"], "Content-Type")
	})
}

func TestTokenEnds(t *testing.T) {
	for name, end := range map[string]func(*lab){
		"by its lifetime":   func(l *lab) { l.advance(simulator.DefaultTokenLifetime) },
		"with all":          func(l *lab) { l.ExpireTokens() },
		"revoked by fault":  func(l *lab) { l.inject(simulator.Fault{RevokeToken: true, Times: 1}) },
		"never was a token": func(l *lab) { l.token = orgA + "!nonsense" },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.session()
			end(l)
			for range 2 {
				r := l.call(nil)
				require.Equal(t, http.StatusUnauthorized, r.status)
				require.EqualValues(t, 10004, r.body["code"])
				require.Empty(t, l.last().Violations)
			}
			l.token = l.grantA()
			require.Equal(t, true, l.call(nil).body["success"])
		})
	}
}

func TestTokensAreReusedWhenAsked(t *testing.T) {
	l := newLab(t)
	first := l.grantA()
	require.NotEqual(t, first, l.grantA())

	l = newLab(t, behaving(simulator.Behaviour{ReuseTokens: true}))
	first = l.grantA()
	require.Equal(t, first, l.grantA())
	l.ExpireTokens()
	require.NotEqual(t, first, l.grantA())
}
