package simulator

import (
	"crypto/subtle"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	jwtBearerGrant         = "urn:ietf:params:oauth:grant-type:jwt-bearer" //nolint:gosec // a name, no secret
	clientCredentialsGrant = "client_credentials"

	// maxAssertionLife is how far ahead exp may lie.
	maxAssertionLife = 3 * time.Minute
	// clockLeeway forgives clocks that differ a little; inferred.
	clockLeeway = 5 * time.Second
)

// oauthError is an error answer of the token endpoint. The error names are
// Salesforce's, the descriptions ours.
type oauthError struct{ name, description string }

func (e *oauthError) answer() Answer {
	return Answer{Status: http.StatusBadRequest, Symbol: e.name, Message: e.description}
}

// readGrant checks a token request up to the point where a token is due.
func (s *Simulator) readGrant(c *call, body []byte, err error) {
	form, fault := readForm(c, body, err)
	if fault == nil {
		switch form.Get("grant_type") {
		case jwtBearerGrant:
			fault = s.readAssertion(c, form.Get("assertion"))
		case clientCredentialsGrant:
			fault = s.readClient(c, form)
		case "":
			fault = c.breaksOAuth("invalid_request", "grant_type: missing")
		default:
			fault = c.breaksOAuth("unsupported_grant_type", "grant_type: not supported")
		}
	}
	c.grant = fault
}

// breaksOAuth notes a broken rule that is a mistake of the client, not merely a
// wrong or expired credential.
func (c *call) breaksOAuth(name, description string) *oauthError {
	c.note(description)
	return &oauthError{name, description}
}

func readForm(c *call, body []byte, err error) (url.Values, *oauthError) {
	if err != nil {
		return nil, c.breaksOAuth("invalid_request", "body: too large or not read to its end")
	}
	if c.request.Method != http.MethodPost {
		return nil, c.breaksOAuth("invalid_request", "method: must use HTTP POST")
	}
	media, _, err := mime.ParseMediaType(c.header("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, c.breaksOAuth("invalid_request", "Content-Type: not application/x-www-form-urlencoded")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, c.breaksOAuth("invalid_request", "body: malformed form")
	}
	for name, values := range form {
		if len(values) > 1 {
			return nil, c.breaksOAuth("invalid_request", truncate(name, maxTextInJournal)+": given twice")
		}
	}
	return form, nil
}

func (s *Simulator) readAssertion(c *call, assertion string) *oauthError {
	if assertion == "" {
		return c.breaksOAuth("invalid_request", "assertion: missing")
	}
	unverified, _, err := jwt.NewParser().ParseUnverified(assertion, jwt.MapClaims{})
	if err != nil {
		return c.breaksOAuth("invalid_grant", "assertion: not a JWT")
	}
	issuer, _ := unverified.Claims.GetIssuer()
	if c.org = s.orgByClient(issuer); c.org == nil {
		return &oauthError{"invalid_client_id", "iss: client identifier invalid"}
	}
	if c.org.publicKey == nil {
		return &oauthError{"invalid_grant", "assertion: no certificate is set for this app"}
	}
	// Claims are checked below: Salesforce's rules on exp differ from the usual.
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodRS256.Alg()}), jwt.WithoutClaimsValidation())
	verified, err := parser.Parse(assertion, func(*jwt.Token) (any, error) { return c.org.publicKey, nil })
	if err != nil {
		return &oauthError{"invalid_grant", "assertion: not RS256, or the signature does not fit the app's certificate"}
	}
	return c.checkClaims(verified.Claims)
}

func (c *call) checkClaims(claims jwt.Claims) *oauthError {
	if subject, err := claims.GetSubject(); err != nil || subject != c.org.Username {
		return &oauthError{"invalid_grant", "sub: user hasn't approved this consumer"}
	}
	audience, err := claims.GetAudience()
	if err != nil || !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(c.org.Audiences, a) }) {
		return &oauthError{"invalid_grant", "aud: audience is invalid"}
	}
	expires, err := claims.GetExpirationTime()
	switch {
	case err != nil || expires == nil:
		return c.breaksOAuth("invalid_grant", "exp: missing or not a number")
	case expires.After(c.receivedAt.Add(maxAssertionLife + clockLeeway)):
		return c.breaksOAuth("invalid_grant", "exp: more than 3 minutes ahead (it counts seconds, not milliseconds)")
	case expires.Before(c.receivedAt.Add(-clockLeeway)):
		return &oauthError{"invalid_grant", "exp: assertion has expired"}
	}
	return nil
}

func (s *Simulator) readClient(c *call, form url.Values) *oauthError {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if user, password, ok := c.request.BasicAuth(); ok {
		// RFC 6749 2.3.1: both are form-encoded within Basic.
		id, _ = url.QueryUnescape(user)
		secret, _ = url.QueryUnescape(password)
	}
	if c.org = s.orgByClient(id); c.org == nil {
		return &oauthError{"invalid_client_id", "client_id: client identifier invalid"}
	}
	if c.org.ClientSecret == "" {
		return &oauthError{"invalid_grant", "no client credentials user enabled"}
	}
	if subtle.ConstantTimeCompare([]byte(secret), []byte(c.org.ClientSecret)) != 1 {
		return &oauthError{"invalid_client", "client_secret: invalid client credentials"}
	}
	return nil
}

func (s *Simulator) orgByClient(consumerKey string) *org {
	for _, o := range s.orgs {
		if consumerKey != "" && o.ConsumerKey == consumerKey {
			return o
		}
	}
	return nil
}

// grant issues a token. There is no expires_in, as in Salesforce's answer, and
// instance_url is not where the Interaction Service is: a client that takes it
// for the API's address gets nowhere.
func (s *Simulator) grant(c *call) reply {
	text := s.tokens.issue(c.org, s.config.Behaviour.ReuseTokens, s.now())
	return reply{status: http.StatusOK, success: true, body: map[string]any{
		"access_token": text,
		"scope":        "interaction_api",
		"instance_url": "https://" + c.org.OrgID + ".my.salesforce.invalid",
		"id":           c.org.Audiences[0] + "/id/" + c.org.OrgID + "/005000000000001",
		"token_type":   "Bearer",
	}}
}
