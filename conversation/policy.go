package conversation

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Defaults of [Policy].
const (
	DefaultInactivateAfter = 10 * time.Minute
	DefaultEndAfter        = 24 * time.Hour
	DefaultBlockedFor      = 72 * time.Hour
)

// longest keeps a mistaken unit from parking a conversation for years.
const longest = 365 * 24 * time.Hour

// Policy says how long a conversation may stay in each phase. An absent field
// takes its default, "0s" disables the stage.
type Policy struct {
	// InactivateAfter is the quiet time after which the session is made
	// Inactive. Default 10m; 0 never does so.
	InactivateAfter *Duration `json:"inactivateAfter,omitempty"`
	// EndAfter is how long an Inactive session waits before it is ended.
	// Default 24h; 0 leaves ending to Salesforce, which does so after about a
	// day.
	EndAfter *Duration `json:"endAfter,omitempty"`
	// BlockedFor is how long a Blocked conversation waits for an operator
	// before its workflow fails. Default 72h; 0 waits for ever.
	BlockedFor *Duration `json:"blockedFor,omitempty"`
	// EndOnCancel makes a cancelled workflow End the session (by System) before
	// it stops. Default false: cancelling never calls Salesforce. A later start
	// can switch it on, not off.
	EndOnCancel bool `json:"endOnCancel,omitempty"`
}

// WithDefaults returns the policy with every absent duration filled in.
func (p Policy) WithDefaults() Policy {
	fill := func(d **Duration, value time.Duration) {
		if *d == nil {
			*d = new(Duration(value))
		}
	}
	fill(&p.InactivateAfter, DefaultInactivateAfter)
	fill(&p.EndAfter, DefaultEndAfter)
	fill(&p.BlockedFor, DefaultBlockedFor)
	return p
}

// Validate reports every duration out of range, as an [*InvalidError].
func (p Policy) Validate() error {
	var ps problems
	check := func(field string, d *Duration) {
		switch {
		case d == nil:
		case *d < 0:
			ps.add(field, "must not be negative; 0 disables the stage")
		case time.Duration(*d) > longest:
			ps.add(field, "must be at most %s", Duration(longest))
		}
	}
	check("policy.inactivateAfter", p.InactivateAfter)
	check("policy.endAfter", p.EndAfter)
	check("policy.blockedFor", p.BlockedFor)
	return ps.err()
}

// Duration is a time.Duration that travels as a string such as "10m" or
// "1h30m". On the way in "0" is accepted too; bare numbers are not, because
// they hide their unit.
type Duration time.Duration

// String formats the duration as Go does, without units that are zero: "10m",
// not "10m0s".
func (d Duration) String() string {
	text := time.Duration(d).String()
	if short, ok := strings.CutSuffix(text, "m0s"); ok {
		text = short + "m"
	}
	if short, ok := strings.CutSuffix(text, "h0m"); ok {
		text = short + "h"
	}
	return text
}

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON implements json.Unmarshaler. Null is as good as absent.
func (d *Duration) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf(`duration %s: want a string such as "10m"`, data)
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf(`duration %q: want a string such as "10m"`, text)
	}
	*d = Duration(parsed)
	return nil
}
