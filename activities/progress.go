package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/gate"
)

// startRace is how long after the start of a session Salesforce may not know it
// yet. Salesforce answers 202 when a session is created, so "not found" may come
// too early (inferred).
const startRace = time.Minute

// Progress is what the next attempt of a call has to know of the earlier ones. It is
// passed on as heartbeat details.
type Progress struct {
	// Capped counts the failures with a limited number of tries.
	Capped int `json:"capped,omitempty"`
	// FailingSince is when the first failed attempt got its answer, by the worker's
	// clock. It is zero if none failed yet. Attempts that were interrupted are not
	// known.
	FailingSince time.Time `json:"failingSince,omitzero"`
	// Waits counts the attempts that only waited for the org. They have sent nothing.
	Waits int `json:"waits,omitempty"`
	// Turn is the turn that the org's gate has given to the call, zero for none.
	Turn time.Time `json:"turn,omitzero"`
	// Refused counts the answers after which the call is tried again for a long time.
	Refused int `json:"refused,omitempty"`
	// Signalled: the workflow has the report that the call keeps failing.
	Signalled bool `json:"signalled,omitempty"`
}

func readProgress(ctx context.Context, attempt int32) Progress {
	var p Progress
	if activity.HasHeartbeatDetails(ctx) {
		// If the details cannot be decoded, the counts start again. That does no harm.
		_ = activity.GetHeartbeatDetails(ctx, &p)
	}
	if p.Waits >= int(attempt) { // an operator has reset the activity: Temporal counts anew
		p.Waits = 0
	}
	return p
}

// Judge says what the failure of an attempt means, and adds it to the answer and to
// the progress. The error is nil if the goal of the call is reached all the same.
// Otherwise it is a [temporal.ApplicationError]: its type is the reason, its details
// are the answer, and it says whether and when to try again. age is how old the session
// was when the attempt began, counted from Request.KnownSince. wait is what the org's gate
// says of the next attempt, nil if it says nothing.
func (p *Progress) Judge(
	answer *conversation.Answer, cause error, age time.Duration, wait *gate.Wait,
) (Decision, error) {
	p.Turn = time.Time{}
	if wait != nil {
		p.Turn = wait.Turn
	}
	d := Decide(cause)
	addFailure(answer, d, cause)
	d = p.adjust(d, answer.At, age < startRace)
	if d.Verdict == Done {
		addDone(answer)
		return d, nil
	}
	return d, failure(*answer, d, cause, wait, p.backoff(answer.Attempt))
}

// Attempt is the number of an attempt, without those that only waited for the org.
func (p *Progress) Attempt(attempt int32) int { return int(attempt) - p.Waits }

// backoff is the delay after a failed attempt. The activity's retry policy says the same, but
// it counts the attempts that only waited too. It is 0 if there were none.
func (p *Progress) backoff(attempt int) time.Duration {
	if p.Waits == 0 {
		return 0
	}
	return min(LongestRetry, FirstRetry<<min(attempt-1, 6))
}

// KeepsFailing reports whether to report this failure to the workflow: it is at
// least the third one of a call that is tried again, and none was reported. A call that
// waits for its turn is not failing.
func (p *Progress) KeepsFailing(answer conversation.Answer, d Decision) bool {
	return d.Verdict != Operator && p.Turn.IsZero() && answer.Attempt >= signalAfter && !p.Signalled
}

// adjust changes a decision according to the earlier attempts, and adds this
// failure to the progress. In a young session, "not found" is never the last word,
// not even if an earlier attempt may have succeeded: after the minute, both mean
// that the session is over.
func (p *Progress) adjust(d Decision, at time.Time, young bool) Decision {
	switch {
	case d.Verdict == Done && young:
		d.Verdict = Retry
		d.Hint = "The session is less than a minute old, Salesforce may not know it yet."
	case d.Verdict == Capped:
		p.Capped++
		if p.Capped >= d.Tries {
			d.Verdict = Operator
		}
	case d.Verdict == Retry && !d.WholeOrg:
		p.Refused++
		if p.Refused >= maxRefusals {
			d.Verdict = Operator
			d.Hint = "Salesforce has refused the call in this way for days."
		}
	}
	if p.FailingSince.IsZero() && p.Turn.IsZero() { // a call that waits for its turn is not failing
		p.FailingSince = at
	}
	return d
}

// ageOf is how old the session was when the attempt began. Temporal's clock decides,
// because KnownSince is by it too.
func ageOf(r Request, info activity.Info) time.Duration {
	began := info.StartedTime
	if began.Before(r.KnownSince) { // unknown, or Temporal's hosts differ
		began = time.Now()
	}
	return began.Sub(r.KnownSince)
}
