package service

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/gate"
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
	// CallSlots is how many attempts of calls the process works on at once, those that only
	// wait for their org included. Default 1000.
	CallSlots int `yaml:"callSlots"`
	// WorkflowTaskSlots is how many workflow tasks the process works on at once. Default
	// 1000.
	WorkflowTaskSlots int `yaml:"workflowTaskSlots"`
	// MaxPollers is how many requests for tasks of each kind wait at Temporal at most. Their
	// number adapts to the load. Default 100.
	MaxPollers int `yaml:"maxPollers"`
	// StopTimeout is how long a stopping worker waits for the calls in flight.
	// Default 25s.
	StopTimeout time.Duration `yaml:"stopTimeout"`
	// Deployment, if set, switches Worker Versioning on.
	Deployment *Deployment `yaml:"deployment"`
	// AllowHosts are hosts that orgs may use besides Salesforce's own, such as
	// "sandbox" or "*.my.example.com". A loopback address needs no entry.
	AllowHosts []string `yaml:"allowHosts"`
	// Orgs are the orgs that this worker may call. At least one is required here or in
	// OrgFolder. Changes are taken while the worker runs.
	Orgs []Org `yaml:"orgs"`
	// OrgFolder is a folder with more orgs: each file *.yaml in it has one.
	OrgFolder string `yaml:"orgFolder"`

	// unusable are the places of orgs whose id cannot be read, and why.
	unusable map[string]error
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
	// CallsInFlight is how many calls of the org a worker makes at once. Default 10.
	CallsInFlight int `yaml:"callsInFlight"`
	// CallsPerSecond is the highest pace of a worker's calls. The pace adapts to what
	// Salesforce accepts. Default 100. Salesforce documents a limit of 2,000 requests per
	// second.
	CallsPerSecond float64 `yaml:"callsPerSecond"`
	// Paused: no call is made, all of them wait. PauseReason is then required.
	Paused      bool   `yaml:"paused"`
	PauseReason string `yaml:"pauseReason"`
	// One of JWTBearer and ClientCredentials is required.
	JWTBearer         *JWTBearer         `yaml:"jwtBearer"`
	ClientCredentials *ClientCredentials `yaml:"clientCredentials"`

	// source is where the settings are: a file of OrgFolder, or orgs[n].
	source string
	// ofFolder: the org comes from OrgFolder.
	ofFolder bool
	// problem says why the settings cannot be used.
	problem error
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

// LoadConfig reads and checks a configuration file of at most 1 MiB, and the files of its
// folder of orgs. The error lists every problem with its line.
//
// A wrong value in the settings of an org, a mistake in a file of the folder, and a secret
// that cannot be used are a problem of one org only. They are no error here: [NewOrgs] uses
// the other orgs. [CheckConfig] reports them.
func LoadConfig(path string) (Config, error) { return loadConfig(path, false) }

// CheckConfig is [LoadConfig] with an error also for a problem of one org only.
func CheckConfig(path string) (Config, error) {
	config, err := loadConfig(path, true)
	if err != nil {
		return Config{}, err
	}
	var problems []error
	for _, place := range slices.Sorted(maps.Keys(config.unusable)) {
		problems = append(problems, config.unusable[place])
	}
	for _, org := range config.Orgs {
		if _, err := newReading(org).client("check", nil); err != nil {
			problems = append(problems, err)
		}
	}
	return config, errors.Join(problems...)
}

// loadConfig reads the configuration. If it is strict, a problem of an org of the
// configuration file is an error.
func loadConfig(path string, strict bool) (Config, error) {
	text, err := secretfile.Read(path)
	if err != nil {
		return Config{}, fmt.Errorf("read configuration: %w", err)
	}
	config, err := parseConfig(text, strict)
	if err != nil {
		return Config{}, problemsOf(path, err)
	}
	if err := config.readEnvironment(); err != nil {
		return Config{}, err
	}
	if config.OrgFolder != "" {
		if !filepath.IsAbs(config.OrgFolder) {
			config.OrgFolder = filepath.Join(filepath.Dir(path), config.OrgFolder)
		}
		if err := config.readFolder(); err != nil {
			return Config{}, fmt.Errorf("configuration %s: orgFolder: %w", path, err)
		}
	}
	return config, nil
}

// These variables name the version of the worker, as Temporal's Worker Controller for
// Kubernetes sets them.
const (
	DeploymentNameVariable = "TEMPORAL_DEPLOYMENT_NAME"
	BuildIDVariable        = "TEMPORAL_WORKER_BUILD_ID"
)

// reservedByTemporal are characters that the name of a deployment must not have.
const reservedByTemporal = ".:"

// readEnvironment takes the version of the worker from the environment, which goes before
// the file: whoever starts the worker knows its version best.
func (c *Config) readEnvironment() error {
	name, buildID := os.Getenv(DeploymentNameVariable), os.Getenv(BuildIDVariable)
	if strings.ContainsAny(name, reservedByTemporal) {
		return fmt.Errorf(`%s: must not contain "." or ":"`, DeploymentNameVariable)
	}
	if name != "" {
		c.Deployment = &Deployment{Name: name}
	}
	if buildID == "" {
		return nil
	}
	if c.Deployment == nil {
		return fmt.Errorf("%s needs %s, or deployment in the configuration", BuildIDVariable, DeploymentNameVariable)
	}
	c.Deployment.BuildID = buildID
	return nil
}

func problemsOf(path string, err error) error {
	return fmt.Errorf("configuration %s:\n  %s", path, strings.ReplaceAll(err.Error(), "\n", "\n  "))
}

// descriptions of types for errors about YAML.
var descriptions = map[string]string{ //nolint:gosec // no credentials
	"[]service.Org":  "want a list of orgs",
	"service.Org":    "want the settings of one org",
	"service.Secret": "want file or env: where the secret is, not the secret",
}

// parseConfig reads and checks the text of a configuration file without its folder of orgs.
func parseConfig(text []byte, strict bool) (Config, error) {
	var config Config
	document, err := strictyaml.Decode(text, &config, descriptions)
	if errors.Is(err, strictyaml.ErrEmpty) {
		err = fmt.Errorf(`%w: want at least one org under "orgs"`, err)
	}
	if err != nil {
		return Config{}, err
	}
	config.setDefaults()
	v := validator{document, config.AllowHosts, strict}
	v.config(config)
	if strict {
		v.orgs(config.Orgs)
	}
	if err := document.Err(); err != nil {
		return Config{}, err
	}
	config.addOrgs(document)
	return config, nil
}

// addOrgs checks the orgs of the file one by one.
func (c *Config) addOrgs(document *strictyaml.Document) {
	orgs := c.Orgs
	c.Orgs, c.unusable = nil, map[string]error{}
	for i, org := range orgs {
		part, place := document.Part(), path{"orgs", strconv.Itoa(i)}
		validator{part, c.AllowHosts, false}.org(place, org)
		org.source, org.problem = place.String(), part.Err()
		c.addOrg(org)
	}
}

// readFolder adds the orgs of the folder. Hidden files are no settings: editors and mounted
// volumes make them.
func (c *Config) readFolder() error {
	entries, err := os.ReadDir(c.OrgFolder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		file := filepath.Join(c.OrgFolder, entry.Name())
		if entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		switch filepath.Ext(file) {
		case ".yaml":
			c.addOrg(readOrg(file, c.AllowHosts))
		case ".yml":
			c.unusable[file] = fmt.Errorf("%s: name the file .yaml, or it is not read", file)
		}
	}
	return nil
}

// addOrg adds an org. If it is there already, nobody knows which settings are meant: neither
// count.
func (c *Config) addOrg(org Org) {
	first := slices.IndexFunc(c.Orgs, func(o Org) bool { return o.OrgID == org.OrgID })
	switch {
	case !isOrgID(org.OrgID):
		c.unusable[org.source] = org.problem
	case first < 0:
		c.Orgs = append(c.Orgs, org)
	default:
		c.Orgs[first].problem = fmt.Errorf("org %s is configured twice: %s and %s",
			org.OrgID, c.Orgs[first].source, org.source)
	}
}

// readOrg reads the file of one org. An org with a problem has its id if the file names it.
func readOrg(file string, allowHosts []string) (org Org) {
	text, err := secretfile.Read(file)
	if err != nil {
		return Org{source: file, ofFolder: true, problem: fmt.Errorf("read configuration: %w", err)}
	}
	document, err := strictyaml.Decode(text, &org, descriptions)
	org.source, org.ofFolder = file, true
	if err == nil {
		org.setDefaults()
		validator{document, allowHosts, false}.org(nil, org)
		err = document.Err()
	}
	if err != nil {
		org.problem = problemsOf(file, err)
	}
	return org
}

func (c *Config) setDefaults() {
	c.TaskQueue = cmp.Or(c.TaskQueue, conversation.DefaultTaskQueue)
	c.CachedConversations = cmp.Or(c.CachedConversations, 10_000)
	c.CallSlots = cmp.Or(c.CallSlots, 1000)
	c.WorkflowTaskSlots = cmp.Or(c.WorkflowTaskSlots, 1000)
	c.MaxPollers = cmp.Or(c.MaxPollers, 100)
	c.StopTimeout = cmp.Or(c.StopTimeout, 25*time.Second)
	for i := range c.Orgs {
		c.Orgs[i].setDefaults()
	}
}

func (o *Org) setDefaults() {
	o.CallTimeout = cmp.Or(o.CallTimeout, 10*time.Second)
	o.TokenLifetime = cmp.Or(o.TokenLifetime, 10*time.Minute)
	o.CallsInFlight = cmp.Or(o.CallsInFlight, gate.DefaultInFlight)
	o.CallsPerSecond = cmp.Or(o.CallsPerSecond, gate.DefaultPerSecond)
}

// limitsOf takes the limits and the pause of other settings.
func (o *Org) limitsOf(other Org) {
	o.CallsInFlight, o.CallsPerSecond = other.CallsInFlight, other.CallsPerSecond
	o.Paused, o.PauseReason = other.Paused, other.PauseReason
}
