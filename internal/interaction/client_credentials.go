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

// ClientCredentialsConfig has the settings of the OAuth 2.0 client credentials flow.
// When it is formatted or logged, the secret is hidden.
type ClientCredentialsConfig struct {
	// ClientID is the connected app's consumer key. Required.
	ClientID string
	// ClientSecret is the connected app's consumer secret, sent in the body of
	// the token request. Required.
	ClientSecret string `json:"-"`
	// TokenURL is the token endpoint of the org's My Domain, such as
	// https://<MyDomain>.my.salesforce.com/services/oauth2/token. Required.
	TokenURL string
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

// NewClientCredentials returns a token source for the client credentials flow. It
// caches the token. Its errors are a [*TokenError], or the error of a context that
// ended. The error of NewClientCredentials names every wrong setting.
func NewClientCredentials(config ClientCredentialsConfig) (TokenSource, error) {
	_, urlErr := parseEndpoint(config.TokenURL, config.PlainHTTP)
	err := joinErrors(
		errorIf(config.ClientID == "", "ClientID is required"),
		errorIf(config.ClientSecret == "", "ClientSecret is required"),
		fieldError("TokenURL", urlErr),
		errorIf(config.TokenLifetime < 0, "TokenLifetime must not be negative"),
		errorIf(config.Timeout < 0, "Timeout must not be negative"),
	)
	if err != nil {
		return nil, fmt.Errorf("client credentials flow: %w", err)
	}
	flow := &clientcredentials.Config{
		ClientID:     config.ClientID,
		ClientSecret: config.ClientSecret,
		TokenURL:     config.TokenURL,
		// Without this, oauth2 tries both styles after every error.
		AuthStyle: oauth2.AuthStyleInParams,
	}
	requester := tokenRequester{flow: flow.Token, transport: transportOr(config.Transport)}
	return &tokenCache{
		fetch:    requester.request,
		lifetime: cmp.Or(config.TokenLifetime, defaultTokenLifetime),
		timeout:  cmp.Or(config.Timeout, defaultTimeout),
	}, nil
}

// LogValue returns the settings without the secret.
func (c ClientCredentialsConfig) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("clientId", c.ClientID),
		slog.String("clientSecret", mask(c.ClientSecret)),
		slog.String("tokenUrl", c.TokenURL),
	)
}

// Format writes the same as LogValue, for every verb.
func (c ClientCredentialsConfig) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "interaction.ClientCredentialsConfig%v", c.LogValue().Group())
}
