package gate

import "time"

// State says whether the calls of an org go, or what they wait for.
type State string

// The states. RateLimited and Busy concern some calls, the others all of them.
const (
	Open State = "open"
	// Paused: the settings say so.
	Paused State = "paused"
	// Away: the org cannot be reached.
	Away State = "unreachable"
	// RateLimited: within the last minute, Salesforce has refused a call because there
	// were too many.
	RateLimited State = "rate limited"
	// Busy: as many calls go as the settings allow, or more than have gone so far. It is a
	// reason to wait, and never the state of a gate.
	Busy State = "busy"
)

// limitedFor is how long an org counts as RateLimited after a refusal.
const limitedFor = time.Minute

// Status is what a gate says of its org.
type Status struct {
	State State `json:"state"`
	// Reason says why the org is paused, empty for the other states.
	Reason string `json:"reason,omitempty"`
	// Since is when the state began.
	Since time.Time `json:"since"`
	// InFlight is how many calls are in flight.
	InFlight int `json:"inFlight"`
	// Pace is how many calls may go per second.
	Pace float64 `json:"pace"`
	// TurnsUntil is until when turns have been given to waiting calls. It is in the past if
	// no call waits for its turn.
	TurnsUntil time.Time `json:"turnsUntil,omitzero"`
}

// Status returns what the gate says of its org now.
func (g *Gate) Status() Status {
	defer g.lock()()
	return g.status(time.Now())
}

func (g *Gate) status(now time.Time) Status {
	return Status{
		State: g.state, Reason: g.settings.Paused, Since: g.since, InFlight: len(g.inFlight),
		Pace: g.pace.current(now), TurnsUntil: latest(g.pace.turns[hangUps], g.pace.turns[others]),
	}
}

// notice takes the state of now.
func (g *Gate) notice(now time.Time) {
	state := Open
	switch {
	case g.settings.Paused != "":
		state = Paused
	case !g.circuit.IsClosed():
		state = Away
	case g.pace.isLimited(now):
		state = RateLimited
	}
	if state != g.state {
		g.state, g.since = state, now
	}
}
