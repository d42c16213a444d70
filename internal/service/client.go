package service

import (
	"fmt"

	"sessionkeeper/activities"
	"sessionkeeper/internal/interaction"
)

// Clients returns the API client of every org by its id. It reads the secrets and
// sends no requests.
func (c Config) Clients(version string) (map[string]activities.API, error) {
	clients := make(map[string]activities.API, len(c.Orgs))
	for _, org := range c.Orgs {
		client, err := org.client(version)
		if err != nil {
			return nil, fmt.Errorf("org %s: %w", org.OrgID, err)
		}
		clients[org.OrgID] = client
	}
	return clients, nil
}

func (o Org) client(version string) (*interaction.Client, error) {
	tokens, err := o.tokens()
	if err != nil {
		return nil, err
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
	key, err := o.JWTBearer.Key.read()
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return interaction.NewJWTBearer(interaction.JWTBearerConfig{
		ConsumerKey: o.JWTBearer.ConsumerKey, Username: o.JWTBearer.Username, PrivateKey: []byte(key),
		Audience: o.JWTBearer.Audience, TokenURL: o.JWTBearer.TokenURL,
		TokenLifetime: o.TokenLifetime, Timeout: o.CallTimeout, PlainHTTP: o.PlainHTTP,
	})
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
