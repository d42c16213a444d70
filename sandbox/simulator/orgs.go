package simulator

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

// defaultTokenLifetime is the shortest session timeout that an org can set.
const defaultTokenLifetime = 15 * time.Minute

// Org is a Salesforce org with a connected app and messaging channels.
type Org struct {
	// OrgID is the 15-character id.
	OrgID string `yaml:"orgId"`
	// ConsumerKey of the connected app: the iss claim of an assertion, or the
	// client_id.
	ConsumerKey string `yaml:"consumerKey"`
	// ClientSecret allows the client credentials grant; empty rejects that
	// grant.
	ClientSecret string `yaml:"clientSecret"`
	// Username is the sub claim of an assertion.
	Username string `yaml:"username"`
	// PublicKey is an RSA public key or certificate in PEM. It verifies
	// assertions; empty rejects the JWT bearer grant.
	PublicKey string `yaml:"publicKey"`
	// Audiences are the accepted aud claims; empty means Salesforce's two login
	// hosts.
	Audiences []string `yaml:"audiences"`
	// ChannelDefinitions are the developer names of the org's
	// ConversationChannelDefinitions. Every request names one of them in its
	// AuthorizationContext header.
	ChannelDefinitions []string `yaml:"channelDefinitions"`
	// ChannelAddresses are the org's messaging channels.
	ChannelAddresses []ChannelAddress `yaml:"channelAddresses"`
	// EndUsers are the known endUserClientIds; empty accepts any.
	EndUsers []string `yaml:"endUsers"`
	// TokenLifetime is how long an access token is valid; 0 means 15 minutes.
	TokenLifetime Duration `yaml:"tokenLifetime"`
}

// ChannelAddress is a messaging channel.
type ChannelAddress struct {
	ID       string `yaml:"id"`
	Inactive bool   `yaml:"inactive"`
}

// The ids of DemoOrg that requests need.
const (
	DemoOrgID                = "00D000000000001"
	DemoAuthorizationContext = "Partner1_ChannelDefinition1"
	// DemoChannelAddress is active.
	DemoChannelAddress = "8f5d1c1e-2f0a-4c58-9a34-6b1c0d2e7f01"
	// DemoInactiveChannelAddress is not active.
	DemoInactiveChannelAddress = "8f5d1c1e-2f0a-4c58-9a34-6b1c0d2e7f02"
)

// DemoOrg returns an example org for the JWT bearer grant, and a new private
// key in PEM that signs assertions for it.
func DemoOrg() (org Org, privateKey []byte, err error) {
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
		ConsumerKey:        "sandbox-consumer-key",
		Username:           "partner@example.com",
		PublicKey:          string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
		ChannelDefinitions: []string{DemoAuthorizationContext},
		ChannelAddresses:   []ChannelAddress{{ID: DemoChannelAddress}, {ID: DemoInactiveChannelAddress, Inactive: true}},
	}, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), nil
}

// orgIDForm is the 15-character id of an organization record.
var orgIDForm = regexp.MustCompile(`^00D[0-9A-Za-z]{12}$`)

// salesforceAudiences are the documented aud claims of production and sandbox.
var salesforceAudiences = []string{"https://login.salesforce.com", "https://test.salesforce.com"}

func (o Org) validate() []error {
	var errs []error
	if !orgIDForm.MatchString(o.OrgID) {
		errs = append(errs, fmt.Errorf("orgId: %q is not 15 letters and digits beginning with 00D", o.OrgID))
	}
	if o.ConsumerKey == "" {
		errs = append(errs, errors.New("consumerKey: missing"))
	}
	if o.PublicKey == "" && o.ClientSecret == "" {
		errs = append(errs, errors.New("publicKey: missing; either publicKey or clientSecret is required"))
	}
	if o.PublicKey != "" {
		if o.Username == "" {
			errs = append(errs, errors.New("username: missing; required with publicKey"))
		}
		if _, err := o.parsePublicKey(); err != nil {
			errs = append(errs, err)
		}
	}
	if len(o.ChannelDefinitions) == 0 {
		errs = append(errs, errors.New("channelDefinitions: at least one is required"))
	}
	if o.TokenLifetime < 0 {
		errs = append(errs, errors.New("tokenLifetime: must not be negative"))
	}
	for i, a := range o.ChannelAddresses {
		if a.ID == "" {
			errs = append(errs, fmt.Errorf("channelAddresses[%d].id: missing", i))
		}
	}
	return errs
}

// parsePublicKey returns nil if the org has no public key.
func (o Org) parsePublicKey() (*rsa.PublicKey, error) {
	if o.PublicKey == "" {
		return nil, nil
	}
	key, err := jwt.ParseRSAPublicKeyFromPEM([]byte(o.PublicKey))
	if err != nil {
		return nil, fmt.Errorf("publicKey: %w", err)
	}
	return key, nil
}

// org is the state of an Org in a running Simulator.
type org struct {
	Org
	publicKey *rsa.PublicKey
	limiter   *rate.Limiter
	sessions  *sessions

	mu       sync.Mutex
	channels map[string]bool // whether the channel of that id is active
}

func newOrg(o Org, requestsPerSecond int) (*org, error) {
	key, err := o.parsePublicKey()
	if err != nil {
		return nil, err
	}
	if len(o.Audiences) == 0 {
		o.Audiences = salesforceAudiences
	}
	if o.TokenLifetime == 0 {
		o.TokenLifetime = Duration(defaultTokenLifetime)
	}
	channels := map[string]bool{}
	for _, a := range o.ChannelAddresses {
		channels[a.ID] = !a.Inactive
	}
	return &org{
		Org: o, publicKey: key, sessions: newSessions(), channels: channels,
		limiter: rate.NewLimiter(rate.Limit(requestsPerSecond), requestsPerSecond),
	}, nil
}

func (o *org) setChannel(id string, active bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.channels[id]; !known {
		return ErrChannelNotFound
	}
	o.channels[id] = active
	return nil
}

// check returns the first business rule of the org that a well-formed request
// breaks, or "". Rules about conversations are checked later.
func (o *org) check(req *request) Cause {
	if !slices.Contains(o.ChannelDefinitions, req.header("AuthorizationContext")) {
		return PermissionDenied
	}
	o.mu.Lock()
	active, known := o.channels[req.fields["channelAddressIdentifier"]]
	o.mu.Unlock()
	switch {
	case !known:
		return ChannelAddressNotFound
	case !active:
		return ChannelAddressInactive
	case len(o.EndUsers) > 0 && !slices.Contains(o.EndUsers, req.fields["endUserClientId"]):
		return EndUserNotFound
	}
	return ""
}
