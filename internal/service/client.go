package service

import (
	"fmt"

	"sessionkeeper/internal/interaction"
)

// client returns the API client of the org. It reads the secret and sends no requests.
func (o Org) client(version string) (*interaction.Client, error) {
	if o.problem != nil {
		return nil, o.problem
	}
	tokens, err := o.tokens()
	if err != nil {
		return nil, fmt.Errorf("org %s: %w", o.OrgID, err)
	}
	return interaction.NewClient(o.APIBaseURL, tokens, interaction.ClientOptions{
		Timeout: o.CallTimeout, Version: version, PlainHTTP: o.PlainHTTP,
	})
}

func (o Org) tokens() (interaction.TokenSource, error) {
	if cc := o.ClientCredentials; cc != nil {
		secret, err := cc.Secret.read()
		if err != nil {
			return nil, fmt.Errorf("consumer secret: %w", err)
		}
		return interaction.NewClientCredentials(interaction.ClientCredentialsConfig{
			ClientID: cc.ConsumerKey, ClientSecret: secret, TokenURL: cc.TokenURL,
			TokenLifetime: o.TokenLifetime, Timeout: o.CallTimeout, PlainHTTP: o.PlainHTTP,
		})
	}
	key, err := o.JWTBearer.readKey()
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return interaction.NewJWTBearer(interaction.JWTBearerConfig{
		ConsumerKey: o.JWTBearer.ConsumerKey, Username: o.JWTBearer.Username, PrivateKey: []byte(key),
		Audience: o.JWTBearer.Audience, TokenURL: o.JWTBearer.TokenURL,
		TokenLifetime: o.TokenLifetime, Timeout: o.CallTimeout, PlainHTTP: o.PlainHTTP,
	})
}

// readKey returns the private key.
func (j JWTBearer) readKey() (string, error) {
	key, err := j.Key.read()
	if err != nil {
		return "", err
	}
	if err := checkKey(key); err != nil {
		return "", fmt.Errorf("%s %w", j.Key.source(), err)
	}
	return key, nil
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
