package service

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
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
	Orgs        []Org         `yaml:"orgs"`
}

// Org is one Salesforce org.
type Org struct {
	// OrgID is the org's 15-character id.
	OrgID string `yaml:"orgId"`
	// APIBaseURL is https://<MyDomain>.my.salesforce-scrt.com. It is not the
	// instance_url of an OAuth answer.
	APIBaseURL string `yaml:"apiBaseUrl"`
	// CallTimeout bounds one HTTP request. Default 10s, at most 20s.
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

// Secret says where a secret is: never in the configuration file.
type Secret struct {
	File string `yaml:"file"`
	Env  string `yaml:"env"`
}

// read returns the secret without white space around it.
func (s Secret) read() (string, error) {
	if s.Env != "" {
		value, ok := os.LookupEnv(s.Env)
		if !ok || strings.TrimSpace(value) == "" {
			return "", fmt.Errorf("environment variable %s is not set", s.Env)
		}
		return strings.TrimSpace(value), nil
	}
	text, err := os.ReadFile(s.File)
	if err != nil {
		return "", err //nolint:wrapcheck // it names the file
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return "", fmt.Errorf("file %s is empty", s.File)
	}
	return string(bytes.TrimSpace(text)), nil
}

// LoadConfig reads and checks a configuration file. The error lists everything
// that is wrong, each with its line.
func LoadConfig(path string) (Config, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
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
		return Config{}, fmt.Errorf("  %w", err)
	}
	config.setDefaults()
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return Config{}, fmt.Errorf("  %w", err)
	}
	check{root: &root, problems: &found}.config(config)
	return config, found.err()
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

// problem is one thing that is wrong, with the line on which it stands.
type problem struct {
	line int
	text string
}

type problems []problem

func (p *problems) err() error {
	if len(*p) == 0 {
		return nil
	}
	slices.SortStableFunc(*p, func(a, b problem) int { return cmp.Compare(a.line, b.line) })
	lines := make([]string, len(*p))
	for i, found := range *p {
		lines[i] = fmt.Sprintf("  line %d: %s", found.line, found.text)
	}
	return errors.New(strings.Join(lines, "\n"))
}

// The library's own messages name Go types, which mean nothing to an operator.
var (
	atLine       = regexp.MustCompile(`^line (\d+): (.*)$`)
	unknownField = regexp.MustCompile(`^field (\S+) not found in type .*$`)
	wrongType    = regexp.MustCompile("^cannot unmarshal !!\\S+ (.*) into (.*)$")
)

func (p *problems) mistyped(err *yaml.TypeError) {
	for _, message := range err.Errors {
		var found problem
		if parts := atLine.FindStringSubmatch(message); parts != nil {
			_, _ = fmt.Sscan(parts[1], &found.line)
			message = parts[2]
		}
		switch {
		case unknownField.MatchString(message):
			message = unknownField.ReplaceAllString(message, "unknown field $1")
		case strings.HasSuffix(message, "time.Duration"):
			message = wrongType.ReplaceAllString(message, `$1 is not a duration such as "10s"`)
		default:
			message = wrongType.ReplaceAllString(message, "$1 is not a value of the right type")
		}
		found.text = message
		*p = append(*p, found)
	}
}
