package service

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"sessionkeeper/conversation"
)

// Config is the worker's configuration file.
type Config struct {
	// TaskQueue on which to listen. Default [conversation.DefaultTaskQueue].
	TaskQueue string `yaml:"taskQueue"`
	// CachedConversations is how many conversations the process keeps in memory,
	// at about 30 KB each; others are rebuilt from their history when something
	// happens. Default 10,000.
	CachedConversations int `yaml:"cachedConversations"`
	// CallsPerSecond bounds the calls of all workers on the task queue together.
	// Default 0: no bound. Salesforce documents 2,000 requests per second.
	CallsPerSecond float64 `yaml:"callsPerSecond"`
	// StopTimeout is how long a stopping worker waits for the calls under way.
	// Default 25s.
	StopTimeout time.Duration `yaml:"stopTimeout"`
	// Deployment, where set, turns Worker Versioning on.
	Deployment *Deployment `yaml:"deployment"`
	// Orgs are the orgs whose conversations this worker may keep: at least one.
	Orgs []Org `yaml:"orgs"`
}

// Deployment makes this worker a version of a Temporal Worker Deployment. It
// gets work once the version is made the current or the ramping one; open
// conversations then move to it by themselves.
type Deployment struct {
	// Name is the same for every version. It may not contain "." or ":", which
	// Temporal reserves.
	Name string `yaml:"name"`
	// BuildID tells the versions apart. Default: the program's version.
	BuildID string `yaml:"buildId"`
}

// Org is one Salesforce org.
type Org struct {
	// OrgID is the org's 15-character id.
	OrgID string `yaml:"orgId"`
	// APIBaseURL is https://<MyDomain>.my.salesforce-scrt.com. It is not the
	// instance_url of an OAuth answer.
	APIBaseURL string `yaml:"apiBaseUrl"`
	// CallTimeout bounds one HTTP request. Default and at most 10s: an attempt
	// may need four requests and has 45s.
	CallTimeout time.Duration `yaml:"callTimeout"`
	// TokenLifetime is how long an access token is used. Default 10m.
	TokenLifetime time.Duration `yaml:"tokenLifetime"`
	// PlainHTTP allows http to another machine: only for the sandbox in a
	// network of its own.
	PlainHTTP bool `yaml:"plainHttp"`
	// One of these two is required.
	JWTBearer         *JWTBearer         `yaml:"jwtBearer"`
	ClientCredentials *ClientCredentials `yaml:"clientCredentials"`
}

// JWTBearer are the settings of the OAuth 2.0 JWT bearer flow.
type JWTBearer struct {
	ConsumerKey string `yaml:"consumerKey"`
	Username    string `yaml:"username"`
	// Audience is https://login.salesforce.com (default) or
	// https://test.salesforce.com.
	Audience string `yaml:"audience"`
	// TokenURL defaults to the audience's token endpoint.
	TokenURL string `yaml:"tokenUrl"`
	// The RSA private key as PEM, from a file or an environment variable.
	Key Secret `yaml:"key"`
}

// ClientCredentials are the settings of the OAuth 2.0 client credentials flow.
type ClientCredentials struct {
	ConsumerKey string `yaml:"consumerKey"`
	TokenURL    string `yaml:"tokenUrl"`
	// The consumer secret, from a file or an environment variable.
	Secret Secret `yaml:"secret"`
}

// LoadConfig reads and checks a configuration file of at most 1 MiB. The error
// lists everything that is wrong, each with its line.
func LoadConfig(path string) (Config, error) {
	text, err := readFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	config, err := ParseConfig(text)
	if err != nil {
		return Config{}, fmt.Errorf("configuration %s:\n%w", path, err)
	}
	return config, nil
}

// ParseConfig is [LoadConfig] on a text.
func ParseConfig(text []byte) (Config, error) {
	var config Config
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var found problems
	var mistyped *yaml.TypeError
	switch err := decoder.Decode(&config); {
	case errors.Is(err, io.EOF):
		return Config{}, errors.New("  it is empty: want at least one org under \"orgs\"")
	case errors.As(err, &mistyped):
		found.mistyped(mistyped)
	case err != nil:
		return Config{}, notYAML(err)
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("  it has a second document: want one, without a line \"---\" in between")
	}
	if found.lost() {
		return Config{}, found.err()
	}
	config.setDefaults()
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return Config{}, notYAML(err)
	}
	check{root: &root, problems: &found}.config(config)
	return config, found.err()
}

func notYAML(err error) error {
	return fmt.Errorf("  it is not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
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
