package gate

import "time"

// State says whether the calls of an org go, or what they wait for.
type State string

// The states. RateLimited and Busy concern some calls, the others all of them.
const (
	Ready State = "ready"
	// Paused: the settings say so.
	Paused State = "paused"
	// Unreachable: the org cannot be reached.
	Unreachable State = "unreachable"
	// RateLimited: within the last minute, Salesforce has refused a call because there
	// were too many, or it has asked to wait until later.
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
	return g.status()
}

func (g *Gate) status() Status {
	return Status{
		State: g.state, Reason: g.settings.Paused, Since: g.since, InFlight: len(g.inFlight),
		Pace: g.pace.current(), TurnsUntil: latest(g.pace.turns[hangUps], g.pace.turns[others]),
	}
}

// notice takes the state of now. When calls go again after a pause or an outage, the turns
// that were given until then are too late.
func (g *Gate) notice(now time.Time) {
	state := Ready
	switch {
	case g.settings.Paused != "":
		state = Paused
	case !g.circuit.IsClosed():
		state = Unreachable
	case g.pace.isLimited(now):
		state = RateLimited
	}
	if state == g.state {
		return
	}
	if g.state.stopsAll() && !state.stopsAll() {
		g.pace.forgetTurns()
	}
	g.state, g.since = state, now
}

// stopsAll reports whether no call goes.
func (s State) stopsAll() bool { return s == Paused || s == Unreachable }
