package interaction

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
)

// Audiences of Salesforce orgs.
const (
	ProductionLogin = "https://login.salesforce.com" // production orgs
	SandboxLogin    = "https://test.salesforce.com"  // sandbox orgs
)

const (
	maxAssertionLifetime     = 3 * time.Minute
	defaultAssertionLifetime = 2 * time.Minute
	tokenPath                = "/services/oauth2/token" //nolint:gosec // a path, not a credential
)

// JWTBearerConfig has the settings of the OAuth 2.0 JWT bearer flow, which the
// guides of the Interaction Service use. When it is formatted or logged, the key is
// hidden.
type JWTBearerConfig struct {
	// ConsumerKey of the connected app: the assertion's iss. Required.
	ConsumerKey string
	// Username of the integration user: the assertion's sub. Required.
	Username string
	// PrivateKey is the RSA key of the app's certificate as PEM, PKCS #1 or
	// PKCS #8, without a passphrase. Its line breaks may be missing or written as
	// "\n", and the whole may be base64. Required.
	PrivateKey []byte `json:"-"`
	// Audience is the assertion's aud. Default: [ProductionLogin].
	Audience string
	// TokenURL is the token endpoint. Default: the audience followed by
	// /services/oauth2/token.
	TokenURL string
	// AssertionLifetime is the time from now to the assertion's exp. Salesforce
	// allows at most 3 minutes. Default: 2 minutes, because clocks may differ.
	AssertionLifetime time.Duration
	// TokenLifetime is how long an access token is used. Salesforce's response does
	// not say when the token expires. Default: 10 minutes.
	TokenLifetime time.Duration
	// Timeout limits one token request. Default: 10 seconds.
	Timeout time.Duration
	// Transport sends the token requests. Default: a new [NewTransport].
	Transport http.RoundTripper
	// PlainHTTP allows a token endpoint with http on another machine. Use it only
	// for a simulator in a private network.
	PlainHTTP bool
}

// NewJWTBearer returns a token source for the JWT bearer flow. It caches the token.
// Its errors are a [*TokenError], or the error of a context that ended. The error of
// NewJWTBearer names every wrong setting.
func NewJWTBearer(config JWTBearerConfig) (TokenSource, error) {
	audience := cmp.Or(config.Audience, ProductionLogin)
	tokenURL := cmp.Or(config.TokenURL, strings.TrimSuffix(audience, "/")+tokenPath)
	key, keyErr := parsePrivateKey(config.PrivateKey)
	_, urlErr := parseEndpoint(tokenURL, config.PlainHTTP)
	err := joinErrors(
		errorIf(config.ConsumerKey == "", "ConsumerKey is required"),
		errorIf(config.Username == "", "Username is required"),
		fieldError("PrivateKey", keyErr),
		fieldError("TokenURL", urlErr),
		errorIf(config.AssertionLifetime != 0 && config.AssertionLifetime < time.Second,
			"AssertionLifetime must be at least one second"),
		errorIf(config.AssertionLifetime > maxAssertionLifetime, "AssertionLifetime must be at most 3 minutes"),
		errorIf(config.TokenLifetime < 0, "TokenLifetime must not be negative"),
		errorIf(config.Timeout < 0, "Timeout must not be negative"),
	)
	if err != nil {
		return nil, fmt.Errorf("JWT bearer flow: %w", err)
	}
	flow := &jwt.Config{
		Email:      config.ConsumerKey,
		Subject:    config.Username,
		PrivateKey: x509.MarshalPKCS1PrivateKey(key),
		Audience:   audience,
		TokenURL:   tokenURL,
		Expires:    cmp.Or(config.AssertionLifetime, defaultAssertionLifetime),
	}
	requester := tokenRequester{
		flow:      func(ctx context.Context) (*oauth2.Token, error) { return flow.TokenSource(ctx).Token() },
		transport: transportOr(config.Transport),
	}
	return &tokenCache{
		fetch:    requester.request,
		lifetime: cmp.Or(config.TokenLifetime, defaultTokenLifetime),
		timeout:  cmp.Or(config.Timeout, defaultTimeout),
	}, nil
}

// LogValue returns the settings without the private key.
func (c JWTBearerConfig) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("consumerKey", c.ConsumerKey),
		slog.String("username", c.Username),
		slog.String("privateKey", mask(string(c.PrivateKey))),
		slog.String("audience", c.Audience),
		slog.String("tokenUrl", c.TokenURL),
	)
}

// Format writes the same as LogValue, for every verb.
func (c JWTBearerConfig) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "interaction.JWTBearerConfig%v", c.LogValue().Group())
}
