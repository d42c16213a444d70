package gate

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// Settings are the limits of one org.
type Settings struct {
	// InFlight is how many calls may be in flight at once. Default 10.
	InFlight int
	// PerSecond is the highest pace in calls per second. Default 100.
	PerSecond float64
	// Paused says why no call may go, empty if calls may go.
	Paused string
}

// Options are the arguments of [New].
type Options struct {
	Settings
	// Changed, if set, is called with every new state. It must not use the gate.
	Changed func(Status)
	// Chance returns random numbers from 0 to 1. Default: [rand.Float64].
	Chance func() float64
}

// Defaults of [Settings].
const (
	DefaultInFlight  = 10
	DefaultPerSecond = 100
)

func (s Settings) withDefaults() Settings {
	if s.InFlight == 0 {
		s.InFlight = DefaultInFlight
	}
	if s.PerSecond == 0 {
		s.PerSecond = DefaultPerSecond
	}
	return s
}

// Call is what the gate has to know of a call.
type Call struct {
	// HangUp: the chat has been closed. Hang-ups go before other calls.
	HangUp bool
	// Turn is the turn that the call was given when it asked before, by this gate or by that
	// of another worker. Zero if it asks for the first time.
	Turn time.Time
}

// Outcome is how a call ended, as far as it concerns the whole org.
type Outcome struct {
	Kind OutcomeKind
	// RetryAfter is how long Salesforce asks to wait. Only for Limited and NoAnswer.
	RetryAfter time.Duration
}

// OutcomeKind is a kind of [Outcome].
type OutcomeKind int

// The kinds of outcomes.
const (
	// NotSent: nothing was sent, for a reason that lies in the call.
	NotSent OutcomeKind = iota
	// Reachable: the org's login has answered, and the call was not sent.
	Reachable
	// Answered: Salesforce has answered, whatever it said.
	Answered
	// Limited: Salesforce has refused the call because there were too many.
	Limited
	// NoAnswer: there was no answer of Salesforce.
	NoAnswer
)

// Wait says that a call may not go now.
type Wait struct {
	// State is what the call waits for: Paused, Unreachable, RateLimited or Busy.
	State State
	// Reason says why the org is paused, empty for the other states.
	Reason string
	// Turn is what the call passes to [Gate.Enter] the next time.
	Turn time.Time
	// Delay is after how long to ask again, at most [LongestWait].
	Delay time.Duration
}

const (
	// LongestWait is the longest time after which a waiting call asks again.
	LongestWait = 5 * time.Minute
	// shortestWait is the shortest wait: asking costs more than waiting so long.
	shortestWait = 20 * time.Millisecond
	// nearTurn is within which time a turn is near.
	nearTurn = 20 * time.Second
	// newLimitWait is how long a call waits at least for its turn while the limit is new.
	newLimitWait = 2 * time.Second
	// shortestOutageWait is the shortest wait for an org that is away or paused.
	shortestOutageWait = 10 * time.Second
	// asksPerSecond is about how many calls per second ask for an org that is away or paused.
	asksPerSecond = 10
	// failuresUntilOpen is how many calls in a row fail without an answer until the org
	// counts as unreachable.
	failuresUntilOpen = 5
	// probeInterval is how often a call then tries whether the org is back.
	probeInterval = 10 * time.Second
)

// Gate decides when the calls of one org may go. It is safe for concurrent use.
type Gate struct {
	changed func(Status)
	chance  func() float64

	mu       sync.Mutex
	settings Settings
	circuit  circuitbreaker.CircuitBreaker[any]
	pace     *pace
	// inFlight is when each call in flight began, the oldest first.
	inFlight []time.Time
	state    State
	since    time.Time
}

// New returns the gate of an org.
func New(o Options) *Gate {
	settings := o.withDefaults()
	g := &Gate{
		changed: o.Changed, chance: o.Chance, settings: settings, pace: newPace(settings.PerSecond),
		state: Ready, since: time.Now(),
		circuit: circuitbreaker.NewBuilder[any]().
			WithFailureThreshold(failuresUntilOpen).WithSuccessThreshold(1).WithDelay(probeInterval).Build(),
	}
	if g.chance == nil {
		g.chance = rand.Float64
	}
	g.Change(settings)
	return g
}

// Change takes new settings.
func (g *Gate) Change(settings Settings) {
	defer g.lock()()
	g.settings = settings.withDefaults()
	g.pace.limit(time.Now(), g.settings.PerSecond)
}

// lock locks the gate. The function that it returns unlocks it and passes on a new state.
func (g *Gate) lock() (unlock func()) {
	g.mu.Lock()
	before := g.state
	g.notice(time.Now())
	return func() {
		g.notice(time.Now())
		status := g.status()
		g.mu.Unlock()
		if status.State != before && g.changed != nil {
			g.changed(status)
		}
	}
}

// Pass lets one call go. It must be returned, by Done or Return.
type Pass struct {
	leave func(Outcome) *Wait
	once  sync.Once
}

// Done returns the pass when the call has ended. It says what a call that was Limited has
// to wait for, and is nil for others.
func (p *Pass) Done(o Outcome) (wait *Wait) {
	p.once.Do(func() { wait = p.leave(o) })
	return wait
}

// Return returns a pass that was not returned yet. The call counts as not sent.
func (p *Pass) Return() { p.Done(Outcome{Kind: NotSent}) }

// Enter asks whether a call may go now. Then it returns a pass, else what to wait for.
func (g *Gate) Enter(c Call) (*Pass, *Wait) {
	defer g.lock()()
	now := time.Now()
	if g.settings.Paused != "" {
		return nil, g.waitForOrg(now, c)
	}
	if len(g.inFlight) >= g.settings.InFlight {
		return nil, g.waitForTurn(now, c, Busy)
	}
	isProbe := !g.circuit.IsClosed()
	if isProbe && (now.Before(g.pace.heldUntil) || !g.circuit.TryAcquirePermit()) {
		return nil, g.waitForOrg(now, c)
	}
	if !isProbe && !g.pace.admit(now, c, g.isSlack()) {
		why := Busy
		if g.pace.isLimited(now) {
			why = RateLimited
		}
		return nil, g.waitForTurn(now, c, why)
	}
	g.inFlight = append(g.inFlight, now)
	return &Pass{leave: func(o Outcome) *Wait { return g.leave(now, c, isProbe, o) }}, nil
}

// isSlack reports whether so few calls are in flight that none has to wait for another one.
func (g *Gate) isSlack() bool { return len(g.inFlight) <= g.settings.InFlight/2 }

func (g *Gate) leave(entered time.Time, c Call, isProbe bool, o Outcome) *Wait {
	defer g.lock()()
	now := time.Now()
	g.inFlight = slices.Delete(g.inFlight, slices.Index(g.inFlight, entered), slices.Index(g.inFlight, entered)+1)
	if isProbe || g.circuit.IsClosed() { // else a call that began before the outage has ended
		g.record(o.Kind, isProbe)
	}
	switch o.Kind {
	case Answered:
		g.pace.accepted(now)
		g.pace.measure(now.Sub(entered))
	case Limited:
		g.pace.refused(now, o.RetryAfter)
		return g.waitForTurn(now, c, RateLimited)
	case NoAnswer:
		g.pace.hold(now, min(o.RetryAfter, LongestWait))
	case Reachable, NotSent:
	}
	return nil
}

// record tells the circuit how a call has ended.
func (g *Gate) record(kind OutcomeKind, isProbe bool) {
	switch kind {
	case Answered, Limited, Reachable:
		g.circuit.RecordSuccess()
	case NoAnswer:
		g.circuit.RecordFailure()
	case NotSent:
		if isProbe { // it says nothing, and its permit has to be returned
			g.circuit.RecordFailure()
		}
	}
}

// waitForTurn is the wait for a turn. A turn that is far away may come earlier, so the call
// asks again on the way: after half of the time, and while the limit is new, after as long
// as it has lasted. If Salesforce asks to wait for long, all calls would come back together,
// so they wait for their turns.
func (g *Gate) waitForTurn(now time.Time, c Call, why State) *Wait {
	turn := g.pace.giveTurn(now, c, g.callsPerSecond(now))
	held := max(0, g.pace.heldUntil.Sub(now))
	delay := turn.Sub(now) - held
	longest := max(nearTurn, delay/2)
	if lasts := now.Sub(g.since); lasts < nearTurn && held <= newLimitWait {
		longest = max(newLimitWait, lasts)
	}
	if delay > longest {
		delay = g.jitter(longest)
	}
	return &Wait{State: why, Turn: turn, Delay: max(min(held+delay, g.jitter(LongestWait)), shortestWait)}
}

// callsPerSecond is how many calls can end per second if all passes are in use. A call that
// hangs is as long as it has lasted.
func (g *Gate) callsPerSecond(now time.Time) float64 {
	var ages time.Duration
	for _, began := range g.inFlight {
		ages += now.Sub(began)
	}
	duration := max(g.pace.duration, ages/time.Duration(max(1, len(g.inFlight))))
	return float64(g.settings.InFlight) / duration.Seconds()
}

// waitForOrg is the wait for an org that is away for an unknown time. The longer it has
// been away, the longer the wait. So it costs little, and is late by a part of that time
// only. If many calls wait, they ask one after the other, and so they come back.
func (g *Gate) waitForOrg(now time.Time, c Call) *Wait {
	longest := min(max(now.Sub(g.since)/2, shortestOutageWait), LongestWait)
	turn := g.pace.giveTurn(now, c, asksPerSecond)
	delay := max(g.jitter(longest), min(turn.Sub(now), g.jitter(LongestWait)))
	return &Wait{State: g.state, Reason: g.settings.Paused, Turn: turn, Delay: delay}
}

// jitter is a time between the half of the longest one and the whole, by chance, so that
// calls do not come in step.
func (g *Gate) jitter(longest time.Duration) time.Duration {
	return longest/2 + time.Duration(g.chance()*float64(longest/2))
}
