package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"

	"sessionkeeper/internal/interaction"
)

// startRace is how long after a session's start Salesforce may not have it
// yet: creation is answered with 202, so "not found" can be early (inferred).
const (
	startRace      = time.Minute
	startRaceTries = 3
)

// progress is what later attempts must know of earlier ones. It travels as
// heartbeat details.
type progress struct {
	// Attempt is the one that left this.
	Attempt int `json:"attempt"`
	// Capped counts the attempts that failed with a bounded number of tries.
	Capped int `json:"capped"`
	// Early counts the answers "not found" in the session's first minute.
	Early int `json:"early"`
	// Unknown: an earlier attempt may have reached Salesforce, so "not found"
	// can be its success.
	Unknown bool `json:"unknown"`
}

// earlier is what the attempts before this one have left. One that left nothing
// was cut off, by a crash or a timeout, and may have reached Salesforce.
func earlier(ctx context.Context, attempt int) progress {
	var p progress
	if activity.HasHeartbeatDetails(ctx) {
		// Details that cannot be read only start the counts anew.
		_ = activity.GetHeartbeatDetails(ctx, &p)
	}
	p.Unknown = p.Unknown || p.Attempt < attempt-1
	p.Attempt = attempt
	return p
}

// settle fits a decision to what went before, and remembers the attempt.
func (p *progress) settle(d Decision, err error, early bool) Decision {
	switch {
	case d.Verdict == Done && early && !p.Unknown && p.Early < startRaceTries:
		p.Early++
		d.Verdict = Retry
		d.Hint = "The session is less than a minute old, Salesforce may not have it yet."
	case d.Verdict == Capped:
		p.Capped++
		if p.Capped >= d.Tries {
			d.Verdict = Operator
		}
	}
	if refused, ok := errors.AsType[*interaction.Error](err); ok && refused.OutcomeUnknown() {
		p.Unknown = true
	}
	return d
}
