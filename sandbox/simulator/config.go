package simulator

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	defaultMaxRequestsPerSecond = 2000
	defaultJournalSize          = 100_000
)

// Config configures a Simulator. [ReadConfig] reads it from a file.
type Config struct {
	// Orgs are the simulated Salesforce orgs. At least one is required.
	Orgs []Org `yaml:"orgs"`
	// MaxRequestsPerSecond limits the API requests of each org. A burst of the
	// same number is allowed. 0 means 2000, the documented limit of the
	// Interaction Service; that it is counted for each org is inferred.
	MaxRequestsPerSecond int `yaml:"maxRequestsPerSecond"`
	// JournalSize is the largest number of entries in the journal; 0 means
	// 100,000.
	JournalSize int `yaml:"journalSize"`
	// Seed makes the random choices of faults with a Share repeatable.
	Seed uint64 `yaml:"seed"`
	// Behaviour configures what Salesforce does not document.
	Behaviour Behaviour `yaml:"behaviour"`
	// Clock returns the current time; nil means time.Now. Fault.Latency always
	// uses real time.
	Clock func() time.Time `yaml:"-"`
}

// Success in Behaviour.Transitions means that the operation succeeds.
const Success = "SUCCESS"

// Behaviour configures what Salesforce does not document. All defaults are
// inferred.
type Behaviour struct {
	// Transitions holds, for an operation on a session of a status, either
	// Success or the ErrorReason of the response. Default: SESSION_NOT_FOUND for
	// both operations on an Ended session, Success for all others. So a
	// repeated Inactivate succeeds.
	Transitions map[Operation]map[Status]string `yaml:"transitions"`
	// Answers replaces the default Answer to a Cause, for example to change its
	// HTTP status or code.
	Answers map[Cause]Answer `yaml:"answers"`
	// FailuresAsCodes answers business failures with an HTTP error, a code and
	// a message. The default is 200 with success:false and an errorReason.
	FailuresAsCodes bool `yaml:"failuresAsCodes"`
	// SymbolicCodes writes codes as names, as an older release did.
	SymbolicCodes bool `yaml:"symbolicCodes"`
	// CapitalErrorReason writes the field as ErrorReason, as the reference page
	// does. The default is errorReason, as in the OpenAPI file.
	CapitalErrorReason bool `yaml:"capitalErrorReason"`
	// ReuseTokens returns the same token for repeated grants while it is valid.
	ReuseTokens bool `yaml:"reuseTokens"`
	// AdoptUnknown treats an unknown conversation or session as existing and
	// Active. A routing system can then be tried without creating its sessions
	// here first. Salesforce does not do this.
	AdoptUnknown bool `yaml:"adoptUnknown"`
	// SessionsAppearAfter hides a session created by POST /api/v1/conversation
	// for this long. Salesforce creates that session asynchronously.
	SessionsAppearAfter Duration `yaml:"sessionsAppearAfter"`
}

// Duration is a time.Duration that is written as a string in JSON and YAML, for
// example "1.5s" or "10m".
type Duration time.Duration

// MarshalText writes d as time.Duration does, for example "2s".
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration %q: want a number with a unit, such as \"2s\"", text)
	}
	*d = Duration(parsed)
	return nil
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

func (c Config) withDefaults() Config {
	if c.MaxRequestsPerSecond == 0 {
		c.MaxRequestsPerSecond = defaultMaxRequestsPerSecond
	}
	if c.JournalSize == 0 {
		c.JournalSize = defaultJournalSize
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if len(c.Orgs) == 0 {
		errs = append(errs, errors.New("orgs: at least one is required"))
	}
	if c.MaxRequestsPerSecond < 0 {
		errs = append(errs, errors.New("maxRequestsPerSecond: must not be negative"))
	}
	if c.JournalSize < 0 {
		errs = append(errs, errors.New("journalSize: must not be negative"))
	}
	ids, keys := map[string]bool{}, map[string]bool{}
	for i, o := range c.Orgs {
		for _, err := range o.validate() {
			errs = append(errs, fmt.Errorf("orgs[%d].%w", i, err))
		}
		if ids[o.OrgID] {
			errs = append(errs, fmt.Errorf("orgs[%d].orgId: %q is used by an earlier org", i, o.OrgID))
		}
		if keys[o.ConsumerKey] {
			errs = append(errs, fmt.Errorf("orgs[%d].consumerKey: used by an earlier org", i))
		}
		ids[o.OrgID], keys[o.ConsumerKey] = true, true
	}
	return errors.Join(append(errs, c.Behaviour.validate())...)
}

func (b Behaviour) validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf("behaviour."+format, args...)) }
	for _, op := range slices.Sorted(maps.Keys(b.Transitions)) {
		if !slices.Contains(operations, op) {
			add("transitions: %q is not an operation", op)
		}
		for status, reason := range b.Transitions[op] {
			if !slices.Contains(statuses, status) {
				add("transitions.%s: %q is not a session status", op, status)
			}
			if reason == "" {
				add("transitions.%s.%s: empty; want %s or an ErrorReason", op, status, Success)
			}
		}
	}
	for _, cause := range slices.Sorted(maps.Keys(b.Answers)) {
		if _, known := defaultAnswers[cause]; !known {
			add("answers: unknown cause %q", cause)
		}
		if err := b.Answers[cause].validate(); err != nil {
			add("answers.%s.%w", cause, err)
		}
	}
	if b.SessionsAppearAfter < 0 {
		add("sessionsAppearAfter: must not be negative")
	}
	return errors.Join(errs...)
}

// transition returns the ErrorReason for op on a session of that status, or
// Success.
func (b Behaviour) transition(op Operation, status Status) string {
	if reason, set := b.Transitions[op][status]; set {
		return reason
	}
	if status == StatusEnded {
		return string(SessionNotFound)
	}
	return Success
}

// answerTo returns the Answer to a request that failed for the cause.
func (b Behaviour) answerTo(cause Cause) Answer {
	if a, set := b.Answers[cause]; set {
		return a
	}
	a, known := defaultAnswers[cause]
	switch {
	case !known:
		return Answer{ErrorReason: string(cause)}
	case a.ErrorReason != "" && b.FailuresAsCodes:
		a.ErrorReason = ""
	case a.ErrorReason != "":
		return Answer{ErrorReason: a.ErrorReason}
	}
	return a
}
