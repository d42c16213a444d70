package conversation

import "time"

// Defaults of [Policy].
const (
	DefaultInactivateAfter = 10 * time.Minute
	DefaultEndAfter        = 24 * time.Hour
	DefaultBlockedFor      = 72 * time.Hour
)

// maxDuration is one year. It limits the harm of a wrong unit.
const maxDuration = 365 * 24 * time.Hour

// Policy says how long a conversation may stay in each phase. Nil means the
// default. Zero switches the stage off. Each duration is at most 8760h (one
// year). Use new(conversation.Duration(5 * time.Minute)) to set one.
type Policy struct {
	// InactivateAfter is how long a chat may be idle before its session is made
	// Inactive. Default 10m. 0: never.
	InactivateAfter *Duration `json:"inactivateAfter,omitempty"`
	// EndAfter is how long a session stays Inactive before it is ended. Default
	// 24h. 0: Salesforce ends it, after about a day.
	EndAfter *Duration `json:"endAfter,omitempty"`
	// BlockedFor is how long a Blocked conversation waits for an operator before
	// its workflow fails. Default 72h. 0: without limit.
	BlockedFor *Duration `json:"blockedFor,omitempty"`
	// EndOnCancel ends the session (by System) when the workflow is cancelled.
	// Default false: cancelling the workflow does not call Salesforce. A later
	// Start can set it to true, but not back to false.
	EndOnCancel bool `json:"endOnCancel,omitempty"`
}

// WithDefaults returns a copy of the policy in which every nil duration has its
// default.
func (p Policy) WithDefaults() Policy {
	setDefault := func(d **Duration, value time.Duration) {
		if *d == nil {
			*d = new(Duration(value))
		}
	}
	setDefault(&p.InactivateAfter, DefaultInactivateAfter)
	setDefault(&p.EndAfter, DefaultEndAfter)
	setDefault(&p.BlockedFor, DefaultBlockedFor)
	return p
}

// Validate checks that no duration is negative or too long. The error is an
// [*InvalidError].
func (p Policy) Validate() error {
	var found problems
	check := func(field string, d *Duration) {
		switch {
		case d == nil:
		case *d < 0:
			found.add(field, "must not be negative; 0 disables the stage")
		case time.Duration(*d) > maxDuration:
			found.add(field, "must be at most %s", Duration(maxDuration))
		}
	}
	check("policy.inactivateAfter", p.InactivateAfter)
	check("policy.endAfter", p.EndAfter)
	check("policy.blockedFor", p.BlockedFor)
	return found.err()
}
