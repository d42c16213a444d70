package simulator

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// What DemoOrg consists of.
const (
	DemoOrgID                = "00D000000000001"
	DemoConsumerKey          = "sandbox-consumer-key"
	DemoUsername             = "partner@example.com"
	DemoAuthorizationContext = "Partner1_ChannelDefinition1"
	// DemoChannelAddress is active, DemoInactiveChannelAddress is not.
	DemoChannelAddress         = "8f5d1c1e-2f0a-4c58-9a34-6b1c0d2e7f01"
	DemoInactiveChannelAddress = "8f5d1c1e-2f0a-4c58-9a34-6b1c0d2e7f02"
)

// DemoOrg is an org to try things with, and the PEM of the private key, newly
// made, that signs assertions for it.
func DemoOrg() (Org, []byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return Org{}, nil, fmt.Errorf("demo org: key: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Org{}, nil, fmt.Errorf("demo org: private key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return Org{}, nil, fmt.Errorf("demo org: public key: %w", err)
	}
	return Org{
		OrgID:              DemoOrgID,
		ConsumerKey:        DemoConsumerKey,
		Username:           DemoUsername,
		PublicKey:          string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
		ChannelDefinitions: []string{DemoAuthorizationContext},
		ChannelAddresses:   []ChannelAddress{{ID: DemoChannelAddress}, {ID: DemoInactiveChannelAddress, Inactive: true}},
	}, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), nil
}
