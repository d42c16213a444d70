package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"

	"sessionkeeper/internal/interaction"
)

const (
	// startRace is how long after the start of a session Salesforce may not know it
	// yet. Salesforce answers 202 when a session is created, so "not found" may come
	// too early (inferred).
	startRace      = time.Minute
	startRaceTries = 3
)

// progress is what the next attempt has to know of the earlier ones. It is passed
// on as heartbeat details.
type progress struct {
	// Attempt is the number of the attempt that wrote this.
	Attempt int `json:"attempt"`
	// Capped counts the failures with a limited number of tries.
	Capped int `json:"capped"`
	// EarlyNotFound counts the answers "not found" in the first minute of the
	// session.
	EarlyNotFound int `json:"earlyNotFound"`
	// OutcomeUnknown: Salesforce may have executed an earlier attempt. Then "not
	// found" may be the result of its success.
	OutcomeUnknown bool `json:"outcomeUnknown"`
}

// readProgress reads what the attempts before this one wrote. An attempt that
// wrote nothing was interrupted by a crash or a timeout, and may have reached
// Salesforce.
func readProgress(ctx context.Context, attempt int) progress {
	var p progress
	if activity.HasHeartbeatDetails(ctx) {
		// If the details cannot be decoded, the counts start again. That does no harm.
		_ = activity.GetHeartbeatDetails(ctx, &p)
	}
	p.OutcomeUnknown = p.OutcomeUnknown || p.Attempt < attempt-1
	p.Attempt = attempt
	return p
}

// adjust changes a decision according to the earlier attempts, and adds this
// attempt to the progress.
func (p *progress) adjust(d Decision, err error, inStartRace bool) Decision {
	switch {
	case d.Verdict == Done && inStartRace && !p.OutcomeUnknown && p.EarlyNotFound < startRaceTries:
		p.EarlyNotFound++
		d.Verdict = Retry
		d.Hint = "The session is less than a minute old, Salesforce may not know it yet."
	case d.Verdict == Capped:
		p.Capped++
		if p.Capped >= d.Tries {
			d.Verdict = Operator
		}
	}
	if apiErr, ok := errors.AsType[*interaction.Error](err); ok && apiErr.OutcomeUnknown() {
		p.OutcomeUnknown = true
	}
	return d
}
