package interaction

import (
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
)

// ProductionLogin is the audience of production orgs, and SandboxLogin that of
// sandbox orgs.
const (
	ProductionLogin = "https://login.salesforce.com"
	SandboxLogin    = "https://test.salesforce.com"
)

const (
	maxAssertionLifetime     = 3 * time.Minute
	defaultAssertionLifetime = 2 * time.Minute
	tokenPath                = "/services/oauth2/token" //nolint:gosec // a path, no credential
)

// JWTBearerConfig describes the OAuth 2.0 JWT bearer flow, which the guides of
// the Interaction Service name. It does not show its key when formatted or
// logged.
type JWTBearerConfig struct {
	// ConsumerKey of the connected app: the assertion's iss. Required.
	ConsumerKey string
	// Username of the integration user: the assertion's sub. Required.
	Username string
	// PrivateKey is the RSA key of the app's certificate as PEM, PKCS #1 or
	// PKCS #8, without a passphrase. Required.
	PrivateKey []byte `json:"-"`
	// Audience is the assertion's aud. Default: [ProductionLogin].
	Audience string
	// TokenURL is the token endpoint. Default: the audience followed by
	// /services/oauth2/token.
	TokenURL string
	// AssertionLifetime is how far ahead the assertion's exp is, at most the 3
	// minutes that Salesforce allows. Default: 2 minutes, to leave room for
	// clocks that differ.
	AssertionLifetime time.Duration
	// TokenLifetime is how long an access token is used, as Salesforce does not
	// say when it expires. Default: 10 minutes.
	TokenLifetime time.Duration
	// Timeout bounds one token request. Default: 10 seconds.
	Timeout time.Duration
	// Transport sends the token requests. Default: a [NewTransport] of the
	// source's own.
	Transport http.RoundTripper
	// PlainHTTP allows a token endpoint with http on another machine than this
	// one: only for a simulator in a network of its own.
	PlainHTTP bool
}

// NewJWTBearer returns a caching token source for the JWT bearer flow. Its
// errors are [*TokenError], or that of a context that ended while waiting. The
// error of NewJWTBearer names every wrong setting.
func NewJWTBearer(config JWTBearerConfig) (TokenSource, error) {
	audience := cmp.Or(config.Audience, ProductionLogin)
	tokenURL := cmp.Or(config.TokenURL, strings.TrimSuffix(audience, "/")+tokenPath)
	key, keyErr := parsePrivateKey(config.PrivateKey)
	_, urlErr := parseEndpoint(tokenURL, config.PlainHTTP)
	wrong := inOneLine(
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
	if wrong != nil {
		return nil, fmt.Errorf("JWT bearer flow: %w", wrong)
	}
	flow := &jwt.Config{
		Email:      config.ConsumerKey,
		Subject:    config.Username,
		PrivateKey: x509.MarshalPKCS1PrivateKey(key),
		Audience:   audience,
		TokenURL:   tokenURL,
		Expires:    cmp.Or(config.AssertionLifetime, defaultAssertionLifetime),
	}
	granter := granter{
		flow:      func(ctx context.Context) (*oauth2.Token, error) { return flow.TokenSource(ctx).Token() },
		transport: transportOr(config.Transport),
	}
	return &cachedTokens{
		grant:    granter.grant,
		lifetime: cmp.Or(config.TokenLifetime, defaultTokenLifetime),
		timeout:  cmp.Or(config.Timeout, defaultTimeout),
	}, nil
}

// parsePrivateKey finds the first private key in the PEM text, which may hold
// the certificate as well.
func parsePrivateKey(text []byte) (*rsa.PrivateKey, error) {
	if len(text) == 0 {
		return nil, errors.New("is required")
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, errEncryptedKey
			}
			return readKey(x509.ParsePKCS1PrivateKey(block.Bytes))
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			rsaKey, ok := key.(*rsa.PrivateKey)
			if err == nil && !ok {
				return nil, errors.New("is not an RSA key; RS256 needs one")
			}
			return readKey(rsaKey, err)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errEncryptedKey
		}
	}
	return nil, errors.New("has no PEM block with a private key")
}

var errEncryptedKey = errors.New("is encrypted: a key without a passphrase is needed")

func readKey(key *rsa.PrivateKey, err error) (*rsa.PrivateKey, error) {
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	return key, nil
}

// LogValue shows what is no secret.
func (c JWTBearerConfig) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("consumerKey", c.ConsumerKey),
		slog.String("username", c.Username),
		slog.String("privateKey", concealed(string(c.PrivateKey))),
		slog.String("audience", c.Audience),
		slog.String("tokenUrl", c.TokenURL),
	)
}

// Format writes the same as LogValue, whatever the verb.
func (c JWTBearerConfig) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "interaction.JWTBearerConfig%v", c.LogValue().Group())
}
