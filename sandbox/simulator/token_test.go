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

func TestTokenIsIssued(t *testing.T) {
	h := newHarness(t)
	r := h.tokenCall(bearerForm(h.assertion(nil)))
	require.Equal(t, http.StatusOK, r.status)
	require.Contains(t, r.body["access_token"], orgA+"!")
	require.Equal(t, "Bearer", r.body["token_type"])
	require.Equal(t, "interaction_api", r.body["scope"])
	require.NotContains(t, r.body, "expires_in")
	require.NotContains(t, r.body["instance_url"], h.url, "instance_url is not the address of the API")
	require.NotEmpty(t, r.body["id"])

	form := url.Values{"grant_type": {"client_credentials"}}
	r = h.do(http.MethodPost, tokenPath, m{
		"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Basic Yi1rZXk6Yi1zZWNyZXQ=",
	}, form.Encode())
	require.Contains(t, r.body["access_token"], orgB+"!", "client credentials as Basic")
}

func TestTokenRequestIsRejected(t *testing.T) {
	h := newHarness(t)
	now := h.clock()
	in := func(d time.Duration) int64 { return now.Add(d).Unix() }
	sign := func(method jwt.SigningMethod, key any) string {
		text, err := jwt.NewWithClaims(method, jwt.MapClaims{"iss": demoConsumerKey}).SignedString(key)
		require.NoError(t, err)
		return text
	}
	_, key := demoOrg()
	hs256 := sign(jwt.SigningMethodHS256, []byte("x"))
	none := sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType)
	rs512 := sign(jwt.SigningMethodRS512, key)
	inMilliseconds := now.Add(time.Minute).UnixMilli()
	tooLate := in(3*time.Minute + 10*time.Second)
	forged := strings.Split(h.assertion(nil), ".")
	forged[2] = strings.Split(h.assertion(jwt.MapClaims{"exp": in(time.Second)}), ".")[2]
	claims := func(c jwt.MapClaims) url.Values { return bearerForm(h.assertion(c)) }

	for name, test := range map[string]struct {
		form             url.Values
		error, describes string
		violation        bool
	}{
		"no grant type":        {url.Values{}, "invalid_request", "grant_type", true},
		"other grant type":     {url.Values{"grant_type": {"password"}}, "unsupported_grant_type", "grant_type", true},
		"field given twice":    {url.Values{"grant_type": {"password", "password"}}, "invalid_request", "twice", true},
		"no assertion":         {bearerForm(""), "invalid_request", "assertion", true},
		"not a JWT":            {bearerForm("abc"), "invalid_grant", "JWT", true},
		"unknown issuer":       {claims(jwt.MapClaims{"iss": "other"}), "invalid_client_id", "iss", false},
		"no issuer":            {claims(jwt.MapClaims{"iss": nil}), "invalid_client_id", "iss", false},
		"unknown user":         {claims(jwt.MapClaims{"sub": "other"}), "invalid_grant", "sub", false},
		"wrong audience":       {claims(jwt.MapClaims{"aud": "https://example.com"}), "invalid_grant", "aud", false},
		"no audience":          {claims(jwt.MapClaims{"aud": nil}), "invalid_grant", "aud", false},
		"no exp":               {claims(jwt.MapClaims{"exp": nil}), "invalid_grant", "exp", true},
		"exp as text":          {claims(jwt.MapClaims{"exp": "soon"}), "invalid_grant", "exp", true},
		"exp in milliseconds":  {claims(jwt.MapClaims{"exp": inMilliseconds}), "invalid_grant", "milliseconds", true},
		"exp too far ahead":    {claims(jwt.MapClaims{"exp": tooLate}), "invalid_grant", "3 minutes", true},
		"expired":              {claims(jwt.MapClaims{"exp": in(-10 * time.Second)}), "invalid_grant", "expired", false},
		"HS256":                {bearerForm(hs256), "invalid_grant", "RS256", false},
		"RS512":                {bearerForm(rs512), "invalid_grant", "RS256", false},
		"unsigned":             {bearerForm(none), "invalid_grant", "RS256", false},
		"wrong signature":      {bearerForm(strings.Join(forged, ".")), "invalid_grant", "signature", false},
		"org without key":      {claims(jwt.MapClaims{"iss": "b-key"}), "invalid_grant", "certificate", false},
		"unknown client":       {clientForm("x", "x"), "invalid_client_id", "client_id", false},
		"wrong secret":         {clientForm("b-key", "x"), "invalid_client", "client_secret", false},
		"org without a secret": {clientForm(demoConsumerKey, ""), "invalid_grant", "client credentials", false},
		"too large":            {bearerForm(strings.Repeat("x", 70_000)), "invalid_request", "too large", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := h.tokenCall(test.form)
			require.Equal(t, http.StatusBadRequest, r.status)
			require.Equal(t, test.error, r.body["error"])
			require.Contains(t, r.body["error_description"], test.describes)
			require.Len(t, r.body, 2)
			require.Equal(t, test.error, h.last().ErrorReason)
			require.Equal(t, test.violation, len(h.last().Violations) > 0, "%v", h.last().Violations)
		})
	}

	t.Run("limits of exp", func(t *testing.T) {
		require.Equal(t, http.StatusOK, h.tokenCall(claims(jwt.MapClaims{"exp": in(3 * time.Minute)})).status)
		require.Equal(t, http.StatusOK, h.tokenCall(claims(jwt.MapClaims{"exp": in(-time.Second)})).status)
	})
	t.Run("GET", func(t *testing.T) {
		require.Equal(t, "invalid_request", h.do(http.MethodGet, tokenPath, nil, "").body["error"])
	})
	t.Run("JSON", func(t *testing.T) {
		r := h.do(http.MethodPost, tokenPath, m{"Content-Type": "application/json"}, "{}")
		require.Contains(t, r.body["error_description"], "Content-Type")
	})
}

func TestTokenBecomesInvalid(t *testing.T) {
	for name, end := range map[string]func(*harness){
		"after its lifetime": func(h *harness) { h.advance(15 * time.Minute) },
		"ExpireTokens":       func(h *harness) { h.ExpireTokens() },
		"revoked by a fault": func(h *harness) { h.inject(simulator.Fault{RevokeToken: true, Times: 1}) },
		"unknown token":      func(h *harness) { h.token = orgA + "!nonsense" },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.session()
			end(h)
			for range 2 {
				r := h.call(nil)
				require.Equal(t, http.StatusUnauthorized, r.status)
				require.EqualValues(t, 10004, r.body["code"])
				require.Empty(t, h.last().Violations)
			}
			h.token = h.newTokenA()
			require.Equal(t, true, h.call(nil).body["success"])
		})
	}
}

func TestReuseTokens(t *testing.T) {
	h := newHarness(t)
	first := h.newTokenA()
	require.NotEqual(t, first, h.newTokenA())

	h = newHarness(t, withBehaviour(simulator.Behaviour{ReuseTokens: true}))
	first = h.newTokenA()
	require.Equal(t, first, h.newTokenA())
	h.ExpireTokens()
	require.NotEqual(t, first, h.newTokenA())
}
