package service

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/secretfile"
	"sessionkeeper/internal/strictyaml"
)

// Config is the worker's configuration file.
type Config struct {
	// TaskQueue of the worker. Default [conversation.DefaultTaskQueue].
	TaskQueue string `yaml:"taskQueue"`
	// CachedConversations is how many conversations the process keeps in memory,
	// about 25 KB each. The others are replayed from their history when they have
	// a task. Default 10,000.
	CachedConversations int `yaml:"cachedConversations"`
	// CallsPerSecond limits the calls of all workers of the task queue together.
	// Default 0: no limit. Salesforce documents a limit of 2,000 requests per
	// second.
	CallsPerSecond float64 `yaml:"callsPerSecond"`
	// StopTimeout is how long a stopping worker waits for the calls in flight.
	// Default 25s.
	StopTimeout time.Duration `yaml:"stopTimeout"`
	// Deployment, if set, switches Worker Versioning on.
	Deployment *Deployment `yaml:"deployment"`
	// AllowHosts are hosts that orgs may use besides Salesforce's own, such as
	// "sandbox" or "*.my.example.com". A loopback address needs no entry.
	AllowHosts []string `yaml:"allowHosts"`
	// Orgs are the orgs that this worker may call: at least one.
	Orgs []Org `yaml:"orgs"`
}

// Deployment makes this worker a version of a Temporal Worker Deployment. The worker
// gets no tasks before its version is the current or the ramping one. Then open
// conversations move to it by themselves.
type Deployment struct {
	// Name is the same for all versions. It must not contain "." or ":", which
	// Temporal reserves.
	Name string `yaml:"name"`
	// BuildID is the name of the version. Default: the version of the program.
	BuildID string `yaml:"buildId"`
}

// Org is one Salesforce org.
type Org struct {
	// OrgID is the org's 15-character id.
	OrgID string `yaml:"orgId"`
	// APIBaseURL is https://<MyDomain>.my.salesforce-scrt.com. It is not the
	// instance_url of an OAuth answer.
	APIBaseURL string `yaml:"apiBaseUrl"`
	// CallTimeout limits one HTTP request. Default and maximum 10s: an attempt may
	// need four requests and has 45s.
	CallTimeout time.Duration `yaml:"callTimeout"`
	// TokenLifetime is how long an access token is used. Default 10m.
	TokenLifetime time.Duration `yaml:"tokenLifetime"`
	// PlainHTTP allows http to another machine. Use it only for the sandbox in a
	// private network.
	PlainHTTP bool `yaml:"plainHttp"`
	// One of JWTBearer and ClientCredentials is required.
	JWTBearer         *JWTBearer         `yaml:"jwtBearer"`
	ClientCredentials *ClientCredentials `yaml:"clientCredentials"`
}

// JWTBearer has the settings of the OAuth 2.0 JWT bearer flow.
type JWTBearer struct {
	ConsumerKey string `yaml:"consumerKey"`
	Username    string `yaml:"username"`
	// Audience is https://login.salesforce.com (default) or
	// https://test.salesforce.com.
	Audience string `yaml:"audience"`
	// TokenURL is the token endpoint. Default: the audience followed by
	// /services/oauth2/token.
	TokenURL string `yaml:"tokenUrl"`
	// Key is the RSA private key as PEM.
	Key Secret `yaml:"key"`
}

// ClientCredentials has the settings of the OAuth 2.0 client credentials flow.
type ClientCredentials struct {
	ConsumerKey string `yaml:"consumerKey"`
	TokenURL    string `yaml:"tokenUrl"`
	// Secret is the consumer secret.
	Secret Secret `yaml:"secret"`
}

// LoadConfig reads and checks a configuration file of at most 1 MiB. The error lists
// every problem with its line.
func LoadConfig(path string) (Config, error) {
	text, err := secretfile.Read(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	config, err := ParseConfig(text)
	if err != nil {
		return Config{}, fmt.Errorf("configuration %s:\n  %s", path, strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	return config, nil
}

// ParseConfig reads and checks the text of a configuration file.
func ParseConfig(text []byte) (Config, error) {
	var config Config
	document, err := strictyaml.Decode(text, &config, map[string]string{ //nolint:gosec // no credentials
		"[]service.Org":  "want a list of orgs",
		"service.Secret": "want file or env: where the secret is, not the secret",
	})
	if errors.Is(err, strictyaml.ErrEmpty) {
		err = fmt.Errorf(`%w: want at least one org under "orgs"`, err)
	}
	if err != nil {
		return Config{}, err
	}
	config.setDefaults()
	validator{document, config.AllowHosts}.config(config)
	return config, document.Err()
}

func (c *Config) setDefaults() {
	c.TaskQueue = cmp.Or(c.TaskQueue, conversation.DefaultTaskQueue)
	c.CachedConversations = cmp.Or(c.CachedConversations, 10_000)
	c.StopTimeout = cmp.Or(c.StopTimeout, 25*time.Second)
	for i := range c.Orgs {
		org := &c.Orgs[i]
		org.CallTimeout = cmp.Or(org.CallTimeout, 10*time.Second)
		org.TokenLifetime = cmp.Or(org.TokenLifetime, 10*time.Minute)
	}
}
