package interaction

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// ClientCredentialsConfig describes the OAuth 2.0 client credentials flow. It
// does not show its secret when formatted or logged.
type ClientCredentialsConfig struct {
	// ClientID is the connected app's consumer key. Required.
	ClientID string
	// ClientSecret is the connected app's consumer secret, sent in the body of
	// the token request. Required.
	ClientSecret string `json:"-"`
	// TokenURL is the token endpoint of the org's My Domain, such as
	// https://<MyDomain>.my.salesforce.com/services/oauth2/token. Required.
	TokenURL string
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

// NewClientCredentials returns a caching token source for the client
// credentials flow. Its errors are [*TokenError], or that of a context that
// ended while waiting. The error of NewClientCredentials names every wrong
// setting.
func NewClientCredentials(config ClientCredentialsConfig) (TokenSource, error) {
	_, urlErr := parseEndpoint(config.TokenURL, config.PlainHTTP)
	wrong := inOneLine(
		errorIf(config.ClientID == "", "ClientID is required"),
		errorIf(config.ClientSecret == "", "ClientSecret is required"),
		fieldError("TokenURL", urlErr),
		errorIf(config.TokenLifetime < 0, "TokenLifetime must not be negative"),
		errorIf(config.Timeout < 0, "Timeout must not be negative"),
	)
	if wrong != nil {
		return nil, fmt.Errorf("client credentials flow: %w", wrong)
	}
	flow := &clientcredentials.Config{
		ClientID:     config.ClientID,
		ClientSecret: config.ClientSecret,
		TokenURL:     config.TokenURL,
		// Named, because oauth2 would otherwise try both ways on every error.
		AuthStyle: oauth2.AuthStyleInParams,
	}
	granter := granter{flow: flow.Token, transport: transportOr(config.Transport)}
	return &cachedTokens{
		grant:    granter.grant,
		lifetime: cmp.Or(config.TokenLifetime, defaultTokenLifetime),
		timeout:  cmp.Or(config.Timeout, defaultTimeout),
	}, nil
}

// LogValue shows what is no secret.
func (c ClientCredentialsConfig) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("clientId", c.ClientID),
		slog.String("clientSecret", concealed(c.ClientSecret)),
		slog.String("tokenUrl", c.TokenURL),
	)
}

// Format writes the same as LogValue, whatever the verb.
func (c ClientCredentialsConfig) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "interaction.ClientCredentialsConfig%v", c.LogValue().Group())
}
