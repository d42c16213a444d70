package simulator

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.yaml.in/yaml/v3"
)

// Defaults of Config and Org.
const (
	// DefaultMaxRequestsPerSecond is the documented limit of the Interaction
	// Service. Salesforce does not say what it counts; here it is per org.
	DefaultMaxRequestsPerSecond = 2000
	// DefaultJournalSize is how many entries the journal keeps.
	DefaultJournalSize = 100_000
	// DefaultTokenLifetime is the shortest session timeout an org can set.
	DefaultTokenLifetime = 15 * time.Minute
)

// Config says what a Simulator serves.
type Config struct {
	// Orgs are the Salesforce orgs it plays; at least one.
	Orgs []Org `yaml:"orgs"`
	// MaxRequestsPerSecond limits the API calls of each org; 0 means
	// DefaultMaxRequestsPerSecond. As many calls may come in one burst.
	MaxRequestsPerSecond int `yaml:"maxRequestsPerSecond"`
	// JournalSize bounds the journal; 0 means DefaultJournalSize.
	JournalSize int `yaml:"journalSize"`
	// Seed makes faults with a Share repeatable.
	Seed uint64 `yaml:"seed"`
	// Behaviour settles what Salesforce does not document.
	Behaviour Behaviour `yaml:"behaviour"`
	// Clock tells the time; nil means time.Now. Latency is always real time.
	Clock func() time.Time `yaml:"-"`
}

// Org is one Salesforce org with a connected app and its messaging channels.
type Org struct {
	// OrgID is the 15-character id.
	OrgID string `yaml:"orgId"`
	// ConsumerKey of the connected app: iss of an assertion, or client_id.
	ConsumerKey string `yaml:"consumerKey"`
	// ClientSecret admits the client credentials grant; empty refuses it.
	ClientSecret string `yaml:"clientSecret"`
	// Username is the sub of an assertion.
	Username string `yaml:"username"`
	// PublicKey is the PEM of an RSA public key or certificate that verifies
	// assertions; empty refuses the JWT bearer grant.
	PublicKey string `yaml:"publicKey"`
	// Audiences are the accepted aud claims; empty means Salesforce's two
	// login hosts.
	Audiences []string `yaml:"audiences"`
	// ChannelDefinitions are the developer names of the org's
	// ConversationChannelDefinitions, one of which is the AuthorizationContext
	// of every call.
	ChannelDefinitions []string `yaml:"channelDefinitions"`
	// ChannelAddresses are the org's messaging channels.
	ChannelAddresses []ChannelAddress `yaml:"channelAddresses"`
	// EndUsers lists the known endUserClientIds; empty means that any is known.
	EndUsers []string `yaml:"endUsers"`
	// TokenLifetime is how long an access token works; 0 means
	// DefaultTokenLifetime.
	TokenLifetime Duration `yaml:"tokenLifetime"`
}

// ChannelAddress is a messaging channel, active unless it says otherwise.
type ChannelAddress struct {
	ID       string `yaml:"id"`
	Inactive bool   `yaml:"inactive"`
}

// ReadConfig reads a Config from YAML or JSON. Unknown fields are errors.
func ReadConfig(r io.Reader) (Config, error) {
	var c Config
	dec := yaml.NewDecoder(r)
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil {
		if errors.Is(err, io.EOF) {
			return Config{}, errors.New("sandbox config: empty")
		}
		return Config{}, fmt.Errorf("sandbox config: %w", err)
	}
	return c, nil
}

// orgIDForm is the 15-character id of an organization record.
var orgIDForm = regexp.MustCompile(`^00D[0-9A-Za-z]{12}$`)

// salesforceAudiences are the documented aud claims of production and sandbox.
var salesforceAudiences = []string{"https://login.salesforce.com", "https://test.salesforce.com"}

func (c Config) withDefaults() Config {
	if c.MaxRequestsPerSecond == 0 {
		c.MaxRequestsPerSecond = DefaultMaxRequestsPerSecond
	}
	if c.JournalSize == 0 {
		c.JournalSize = DefaultJournalSize
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if len(c.Orgs) == 0 {
		errs = append(errs, errors.New("orgs: at least one is needed"))
	}
	if c.MaxRequestsPerSecond < 0 {
		errs = append(errs, errors.New("maxRequestsPerSecond: must not be negative"))
	}
	if c.JournalSize < 0 {
		errs = append(errs, errors.New("journalSize: must not be negative"))
	}
	ids, keys := map[string]bool{}, map[string]bool{}
	for i, o := range c.Orgs {
		for _, err := range o.problems() {
			errs = append(errs, fmt.Errorf("orgs[%d].%w", i, err))
		}
		if ids[o.OrgID] {
			errs = append(errs, fmt.Errorf("orgs[%d].orgId: %q is taken by an earlier org", i, o.OrgID))
		}
		if keys[o.ConsumerKey] {
			errs = append(errs, fmt.Errorf("orgs[%d].consumerKey: taken by an earlier org", i))
		}
		ids[o.OrgID], keys[o.ConsumerKey] = true, true
	}
	return errors.Join(append(errs, c.Behaviour.validate())...)
}

func (o Org) problems() []error {
	var errs []error
	if !orgIDForm.MatchString(o.OrgID) {
		errs = append(errs, fmt.Errorf("orgId: %q is not 15 letters and digits beginning with 00D", o.OrgID))
	}
	if o.ConsumerKey == "" {
		errs = append(errs, errors.New("consumerKey: missing"))
	}
	if o.PublicKey == "" && o.ClientSecret == "" {
		errs = append(errs, errors.New("publicKey: missing, and so is clientSecret; one is needed"))
	}
	if o.PublicKey != "" {
		if o.Username == "" {
			errs = append(errs, errors.New("username: missing; a publicKey needs one"))
		}
		if _, err := o.key(); err != nil {
			errs = append(errs, err)
		}
	}
	if len(o.ChannelDefinitions) == 0 {
		errs = append(errs, errors.New("channelDefinitions: at least one is needed"))
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

// key is the org's public key, nil when it has none.
func (o Org) key() (*rsa.PublicKey, error) {
	if o.PublicKey == "" {
		return nil, nil
	}
	key, err := jwt.ParseRSAPublicKeyFromPEM([]byte(o.PublicKey))
	if err != nil {
		return nil, fmt.Errorf("publicKey: %w", err)
	}
	return key, nil
}
