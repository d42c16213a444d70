package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
)

// startRace is how long after the start of a session Salesforce may not know it
// yet. Salesforce answers 202 when a session is created, so "not found" may come
// too early (inferred).
const startRace = time.Minute

// progress is what the next attempt has to know of the earlier ones. It is passed
// on as heartbeat details.
type progress struct {
	// Capped counts the failures with a limited number of tries.
	Capped int `json:"capped,omitempty"`
	// FailingSince is when the first failed attempt got its answer, by the worker's
	// clock. It is zero if none failed yet. Attempts that were interrupted are not
	// known.
	FailingSince time.Time `json:"failingSince,omitzero"`
	// Signalled: the workflow has the report that the call keeps failing.
	Signalled bool `json:"signalled,omitempty"`
}

func readProgress(ctx context.Context) progress {
	var p progress
	if activity.HasHeartbeatDetails(ctx) {
		// If the details cannot be decoded, the counts start again. That does no harm.
		_ = activity.GetHeartbeatDetails(ctx, &p)
	}
	return p
}

// adjust changes a decision according to the earlier attempts, and adds this
// failure to the progress. In a young session, "not found" is never the last word,
// not even if an earlier attempt may have succeeded: after the minute, both mean
// that the session is over.
func (p *progress) adjust(d Decision, at time.Time, young bool) Decision {
	switch {
	case d.Verdict == Done && young:
		d.Verdict = Retry
		d.Hint = "The session is less than a minute old, Salesforce may not know it yet."
	case d.Verdict == Capped:
		p.Capped++
		if p.Capped >= d.Tries {
			d.Verdict = Operator
		}
	}
	if p.FailingSince.IsZero() {
		p.FailingSince = at
	}
	return d
}

// isYoung reports whether the attempt began while Salesforce may not have known
// the session yet. Temporal's clock decides, because KnownSince is by it too.
func isYoung(r Request, info activity.Info) bool {
	began := info.StartedTime
	if began.Before(r.KnownSince) { // unknown, or Temporal's hosts differ
		began = time.Now()
	}
	return began.Sub(r.KnownSince) < startRace
}
