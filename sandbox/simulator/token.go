package simulator

import (
	"crypto/rand"
	"crypto/subtle"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	jwtBearerGrant         = "urn:ietf:params:oauth:grant-type:jwt-bearer" //nolint:gosec // a name, not a secret
	clientCredentialsGrant = "client_credentials"

	// maxAssertionLifetime is how far exp may be in the future (documented).
	maxAssertionLifetime = 3 * time.Minute
	// clockLeeway accepts clocks that differ a little (inferred).
	clockLeeway = 5 * time.Second
)

// oauthError is an error response of the token endpoint. The names are
// Salesforce's, the descriptions are ours.
type oauthError struct{ name, description string }

func (e *oauthError) answer() Answer {
	return Answer{Status: http.StatusBadRequest, Symbol: e.name, Message: e.description}
}

// violateOAuth rejects a token request that breaks a rule of the contract. Wrong
// or expired credentials are no violations.
func (req *request) violateOAuth(name, description string) *oauthError {
	req.addViolation(description)
	return &oauthError{name, description}
}

// readTokenRequest checks a token request. It returns nil if a token is to be
// issued.
func (s *Simulator) readTokenRequest(req *request, body []byte, readErr error) *oauthError {
	form, rejected := req.readForm(body, readErr)
	if rejected != nil {
		return rejected
	}
	switch form.Get("grant_type") {
	case jwtBearerGrant:
		return s.checkAssertion(req, form.Get("assertion"))
	case clientCredentialsGrant:
		return s.checkClientCredentials(req, form)
	case "":
		return req.violateOAuth("invalid_request", "grant_type: missing")
	}
	return req.violateOAuth("unsupported_grant_type", "grant_type: not supported")
}

func (req *request) readForm(body []byte, readErr error) (url.Values, *oauthError) {
	if readErr != nil {
		return nil, req.violateOAuth("invalid_request", "body: too large, or not read to the end")
	}
	if req.http.Method != http.MethodPost {
		return nil, req.violateOAuth("invalid_request", "method: must use HTTP POST")
	}
	media, _, err := mime.ParseMediaType(req.header("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, req.violateOAuth("invalid_request", "Content-Type: not application/x-www-form-urlencoded")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, req.violateOAuth("invalid_request", "body: malformed form")
	}
	for name, values := range form {
		if len(values) > 1 {
			return nil, req.violateOAuth("invalid_request", truncate(name, maxTextInJournal)+": given twice")
		}
	}
	return form, nil
}

func (s *Simulator) checkAssertion(req *request, assertion string) *oauthError {
	if assertion == "" {
		return req.violateOAuth("invalid_request", "assertion: missing")
	}
	unverified, _, err := jwt.NewParser().ParseUnverified(assertion, jwt.MapClaims{})
	if err != nil {
		return req.violateOAuth("invalid_grant", "assertion: not a JWT")
	}
	issuer, _ := unverified.Claims.GetIssuer()
	if req.org = s.orgByConsumerKey(issuer); req.org == nil {
		return &oauthError{"invalid_client_id", "iss: client identifier invalid"}
	}
	if req.org.publicKey == nil {
		return &oauthError{"invalid_grant", "assertion: no certificate is set for this app"}
	}
	// checkClaims checks the claims, because Salesforce's rules for exp differ
	// from those of the library.
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodRS256.Alg()}), jwt.WithoutClaimsValidation())
	verified, err := parser.Parse(assertion, func(*jwt.Token) (any, error) { return req.org.publicKey, nil })
	if err != nil {
		return &oauthError{"invalid_grant", "assertion: not RS256, or the signature does not match the app's certificate"}
	}
	return req.checkClaims(verified.Claims)
}

func (req *request) checkClaims(claims jwt.Claims) *oauthError {
	if subject, err := claims.GetSubject(); err != nil || subject != req.org.Username {
		return &oauthError{"invalid_grant", "sub: user hasn't approved this consumer"}
	}
	accepted := func(audience string) bool { return slices.Contains(req.org.Audiences, audience) }
	if audiences, err := claims.GetAudience(); err != nil || !slices.ContainsFunc(audiences, accepted) {
		return &oauthError{"invalid_grant", "aud: audience is invalid"}
	}
	expires, err := claims.GetExpirationTime()
	switch {
	case err != nil || expires == nil:
		return req.violateOAuth("invalid_grant", "exp: missing or not a number")
	case expires.After(req.receivedAt.Add(maxAssertionLifetime + clockLeeway)):
		return req.violateOAuth("invalid_grant", "exp: more than 3 minutes ahead (exp is in seconds, not milliseconds)")
	case expires.Before(req.receivedAt.Add(-clockLeeway)):
		return &oauthError{"invalid_grant", "exp: assertion has expired"}
	}
	return nil
}

func (s *Simulator) checkClientCredentials(req *request, form url.Values) *oauthError {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if user, password, ok := req.http.BasicAuth(); ok {
		// RFC 6749 2.3.1: both are form-encoded within Basic.
		id, _ = url.QueryUnescape(user)
		secret, _ = url.QueryUnescape(password)
	}
	if req.org = s.orgByConsumerKey(id); req.org == nil {
		return &oauthError{"invalid_client_id", "client_id: client identifier invalid"}
	}
	if req.org.ClientSecret == "" {
		return &oauthError{"invalid_grant", "no client credentials user enabled"}
	}
	if subtle.ConstantTimeCompare([]byte(secret), []byte(req.org.ClientSecret)) != 1 {
		return &oauthError{"invalid_client", "client_secret: invalid client credentials"}
	}
	return nil
}

func (s *Simulator) orgByConsumerKey(consumerKey string) *org {
	for _, o := range s.orgs {
		if consumerKey != "" && o.ConsumerKey == consumerKey {
			return o
		}
	}
	return nil
}

// issueToken answers a token request. The response has no expires_in, as
// documented. Its instance_url is not the address of the Interaction Service, as
// in Salesforce: a client that sends API requests there must fail.
func (s *Simulator) issueToken(req *request) response {
	text := s.tokens.issue(req.org, s.config.Behaviour.ReuseTokens, s.now())
	return response{status: http.StatusOK, success: true, body: map[string]any{
		"access_token": text,
		"scope":        "interaction_api",
		"instance_url": "https://" + req.org.OrgID + ".my.salesforce.invalid",
		"id":           req.org.Audiences[0] + "/id/" + req.org.OrgID + "/005000000000001",
		"token_type":   "Bearer",
	}}
}

// tokens holds the valid access tokens.
type tokens struct {
	mu     sync.Mutex
	issued map[string]token
	latest map[*org]string
}

type token struct {
	org     *org
	expires time.Time
}

func newTokens() *tokens {
	return &tokens{issued: map[string]token{}, latest: map[*org]string{}}
}

// issue returns a new token for o. With reuse it returns the latest token of o
// while that is valid.
func (t *tokens) issue(o *org, reuse bool, now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for text, old := range t.issued {
		if !now.Before(old.expires) {
			delete(t.issued, text)
		}
	}
	if _, valid := t.issued[t.latest[o]]; valid && reuse {
		return t.latest[o]
	}
	text := o.OrgID + "!" + rand.Text() + rand.Text()
	t.issued[text] = token{o, now.Add(time.Duration(o.TokenLifetime))}
	t.latest[o] = text
	return text
}

// org returns the org of a token, or nil if the token is unknown or expired.
func (t *tokens) org(text string, now time.Time) *org {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tok, known := t.issued[text]; known && now.Before(tok.expires) {
		return tok.org
	}
	return nil
}

func (t *tokens) revoke(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.issued, text)
}

func (t *tokens) revokeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.issued)
	clear(t.latest)
}
