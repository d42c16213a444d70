package service

import (
	"fmt"
	"net/http"

	"sessionkeeper/internal/interaction"
)

// client returns the API client of the org with its secret. It sends no requests. A transport
// of nil is the usual one.
func (o Org) client(version, secret string, transport http.RoundTripper) (*interaction.Client, error) {
	tokens, err := o.tokens(secret, transport)
	if err != nil {
		return nil, fmt.Errorf("org %s: %w", o.OrgID, err)
	}
	return interaction.NewClient(o.APIBaseURL, tokens, interaction.ClientOptions{
		Timeout: o.CallTimeout, Version: version, PlainHTTP: o.PlainHTTP, Transport: transport,
	})
}

func (o Org) tokens(secret string, transport http.RoundTripper) (interaction.TokenSource, error) {
	if cc := o.ClientCredentials; cc != nil {
		return interaction.NewClientCredentials(interaction.ClientCredentialsConfig{
			ClientID: cc.ConsumerKey, ClientSecret: secret, TokenURL: cc.TokenURL,
			TokenLifetime: o.TokenLifetime, Timeout: o.CallTimeout, PlainHTTP: o.PlainHTTP, Transport: transport,
		})
	}
	if err := o.JWTBearer.checkKey(secret); err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return interaction.NewJWTBearer(interaction.JWTBearerConfig{
		ConsumerKey: o.JWTBearer.ConsumerKey, Username: o.JWTBearer.Username, PrivateKey: []byte(secret),
		Audience: o.JWTBearer.Audience, TokenURL: o.JWTBearer.TokenURL,
		TokenLifetime: o.TokenLifetime, Timeout: o.CallTimeout, PlainHTTP: o.PlainHTTP, Transport: transport,
	})
}

// readSecret returns the consumer secret or the private key.
func (o Org) readSecret() (secret string, err error) {
	switch {
	case o.ClientCredentials != nil:
		if secret, err = o.ClientCredentials.Secret.read(); err != nil {
			err = fmt.Errorf("org %s: consumer secret: %w", o.OrgID, err)
		}
	case o.JWTBearer != nil:
		if secret, err = o.JWTBearer.Key.read(); err != nil {
			err = fmt.Errorf("org %s: private key: %w", o.OrgID, err)
		}
	}
	return secret, err
}

// checkKey checks a private key. The error says where it comes from.
func (j JWTBearer) checkKey(key string) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("%s %w", j.Key.source(), err)
	}
	return nil
}

// secretFiles are the files with the secrets of the org.
func (o Org) secretFiles() []string {
	var secrets []Secret
	if o.JWTBearer != nil {
		secrets = append(secrets, o.JWTBearer.Key)
	}
	if o.ClientCredentials != nil {
		secrets = append(secrets, o.ClientCredentials.Secret)
	}
	var files []string
	for _, secret := range secrets {
		if secret.File != "" {
			files = append(files, secret.File)
		}
	}
	return files
}
