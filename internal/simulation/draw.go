package simulation

import (
	"math/rand/v2"
	"slices"
	"time"

	"sessionkeeper/conversation"
)

// Draw makes a story from a seed.
func Draw(seed uint64) Story {
	d := drawing{Rand: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // not a secret
	s := Story{Seed: seed, Calm: d.once(10)}
	s.Policies = d.policies()
	for range 1 + d.IntN(3) {
		s.Senders = append(s.Senders, d.sender(s.Policies))
	}
	if d.once(2) {
		s.ServerClock = d.between(-clockError, clockError)
	}
	d.unnamed = d.once(5)
	s.Statuses = pick(d, PromptStatuses, PromptStatuses, NoStatuses, LateStatuses, ReplayedStatuses)
	d.steps(&s)
	d.faults(&s)
	d.impersonation(&s)
	return s
}

// clockError is how wrong a clock may be. So two clocks differ by up to five seconds.
const clockError = 2500 * time.Millisecond

type drawing struct {
	*rand.Rand
	// unnamed: some events do not name their session.
	unnamed bool
}

// once is true once in n times.
func (d drawing) once(n int) bool { return d.IntN(n) == 0 }

func (d drawing) between(least, most time.Duration) time.Duration {
	return least + upTo(d.Rand, most-least)
}

func pick[T any](d drawing, options ...T) T { return options[d.IntN(len(options))] }

func (d drawing) policies() []conversation.Policy {
	duration := func(options ...time.Duration) *conversation.Duration {
		return new(conversation.Duration(pick(d, options...)))
	}
	first := conversation.Policy{
		InactivateAfter: duration(time.Minute, 10*time.Minute, 10*time.Minute, 10*time.Minute, 0),
		EndAfter:        duration(time.Hour, 24*time.Hour, 0),
		BlockedFor:      duration(time.Hour, 72*time.Hour, 0),
		EndOnCancel:     d.once(3),
	}
	policies := []conversation.Policy{first}
	if d.once(4) {
		second := first
		second.InactivateAfter = duration(time.Minute, 5*time.Minute, 20*time.Minute)
		second.EndAfter = duration(time.Hour, 0)
		policies = append(policies, second)
	}
	return policies
}

func (d drawing) sender(policies []conversation.Policy) SenderPlan {
	plan := SenderPlan{Policy: d.IntN(len(policies)), Repeats: d.once(2)}
	shortest := shortestInactivateAfter(policies)
	plan.Window = pick(d, 0, time.Second, shortest/2, shortest)
	return plan
}

// shortestInactivateAfter is the longest window that a sender may have.
func shortestInactivateAfter(policies []conversation.Policy) time.Duration {
	shortest := 10 * time.Minute
	for _, p := range policies {
		if after := time.Duration(*p.InactivateAfter); after > 0 {
			shortest = min(shortest, after)
		}
	}
	return shortest
}

// steps draws up to four sessions, one after the other.
func (d drawing) steps(s *Story) {
	after := shortestInactivateAfter(s.Policies)
	now := time.Duration(0)
	gap := func() {
		now += d.between(0, pick(d, time.Second, time.Minute, after/2, after/2, after+time.Minute, after+2*time.Minute))
	}
	for session := range 1 + pick(d, 0, 0, 1, 1, 2) {
		s.Steps = append(s.Steps, d.event(s, now, Begin, session))
		for range d.IntN(pick(d, 3, 8, 20)) {
			gap()
			kind := pick(d, Write, Write, Write, Write, Write, Write, Write, Write, Correct, RepInactive, Suggest, Retry)
			s.Steps = append(s.Steps, d.event(s, now, kind, session))
			if d.once(20) {
				kind = pick(d, Kill, Kill, Restart, Cancel)
				at := now + d.between(0, time.Minute)
				s.Steps = append(s.Steps, d.event(s, at, kind, session))
				if kind == Cancel && d.once(2) { // two closes look at the same last run
					at += d.between(0, time.Minute)
					s.Steps = append(s.Steps, d.event(s, at, HangUp, session),
						d.event(s, at+d.between(0, 100*time.Millisecond), HangUp, session))
				}
			}
		}
		gap()
		for _, kind := range pick(d, []StepKind{}, []StepKind{HangUp}, []StepKind{HangUp}, []StepKind{RepEnds},
			[]StepKind{HangUp, Write}, []StepKind{HangUp, HangUp}, []StepKind{HangUp, Kill}) {
			s.Steps = append(s.Steps, d.event(s, now, kind, session))
			now += d.between(0, pick(d, time.Second, time.Minute))
		}
		if d.once(4) {
			s.Steps = append(s.Steps, d.farewell(s, now, session)...)
		}
		if d.once(10) {
			s.Steps = append(s.Steps, d.rush(s, now, session)...)
		}
		now += d.between(0, pick(d, time.Second, time.Minute, time.Hour, 30*time.Hour))
	}
	if d.once(4) {
		d.leaseEnd(s)
	}
	slices.SortStableFunc(s.Steps, func(a, b Step) int { return int(a.At - b.At) })
}

// impersonation is a start for another end user, once in a while. While the conversation is
// Blocked, and in a run that begins again after it was cancelled, it would count.
func (d drawing) impersonation(s *Story) {
	mayBegin := slices.ContainsFunc(s.Steps, func(step Step) bool { return step.Kind == Cancel }) ||
		slices.ContainsFunc(s.Faults, func(f Fault) bool { return f.Kind == SalesforceFails })
	if mayBegin || !d.once(10) {
		return
	}
	of := pick(d, s.Steps...)
	e := d.event(s, of.At+d.between(0, pick(d, time.Second, time.Minute, 10*time.Minute)), Impersonate, of.Session)
	e.Named, e.Delay, e.Again = true, 0, 0
	s.Steps = append(s.Steps, e)
	slices.SortStableFunc(s.Steps, func(a, b Step) int { return int(a.At - b.At) })
}

// farewell is an event of a session that is reported after the next one has begun, by a
// clock that is ahead.
func (d drawing) farewell(s *Story, begins time.Duration, session int) []Step {
	last := d.event(s, begins-d.between(0, time.Second), pick(d, Write, HangUp), session)
	next := d.event(s, begins, Begin, session+1)
	last.Untimed = false // it would count as of when it arrives
	last.Skew, last.Delay = d.between(0, clockError), d.between(time.Second, 10*time.Second)
	return []Step{last, next}
}

// rush is a session that begins and is closed while the End of the one before it is in
// flight: Salesforce has ended that, and its answer takes long.
func (d drawing) rush(s *Story, now time.Duration, session int) []Step {
	slow := slices.IndexFunc(Answers, func(a Answer) bool { return a.Slow && a.Executed })
	s.Faults = append(s.Faults, Fault{Kind: SalesforceFails, From: now, To: now + 2*time.Second, Answer: slow})
	last := d.event(s, now, HangUp, session)
	begins := now + d.between(time.Second, 5*time.Second)
	closed := d.event(s, begins+d.between(0, 4*time.Second), HangUp, session+1)
	closed.Wait = true
	return []Step{last, d.event(s, begins, Begin, session+1), closed}
}

// leaseEnd is trouble while a lease ends: Temporal does not answer, and messages are
// written.
func (d drawing) leaseEnd(s *Story) {
	first := pick(d, s.Steps...)
	window := s.Senders[first.Sender].Window
	near := func() time.Duration { return first.At + window - window/20 + d.between(0, window/10) }
	first.Kind = Write
	s.Steps = append(s.Steps, first)
	write := func(at time.Duration) {
		message := first
		message.At, message.Delay, message.Again = at, 0, 0
		s.Steps = append(s.Steps, message)
	}
	if d.once(2) { // so that the lease is to be renewed, not released
		write(first.At + window/2 + d.between(0, window/2))
	}
	for range 1 + d.IntN(3) {
		write(near())
	}
	from := near()
	length := d.between(0, pick(d, window/10, window, 2*window))
	kind := pick(d, TemporalDown, AnswersLost, AnswersLost)
	s.Faults = append(s.Faults, Fault{Kind: kind, From: from, To: from + length})
	if d.once(2) {
		s.Steps = append(s.Steps, Step{At: near() + d.between(0, window), Kind: Kill, Sender: first.Sender})
	}
}

func (d drawing) event(s *Story, at time.Duration, kind StepKind, session int) Step {
	e := Step{
		At: at, Kind: kind, Session: session, Sender: d.IntN(len(s.Senders)), Named: !d.unnamed || !d.once(3),
		By: pick(d, conversation.EndUser, conversation.System), Wait: d.once(3),
	}
	e.Untimed = d.once(20) && !s.Senders[e.Sender].Repeats // it would count as of when it is repeated
	if d.once(3) {
		e.Skew = d.between(-clockError, clockError)
	}
	if e.Untimed {
		return e // such an event counts as of when it arrives
	}
	if d.once(10) {
		e.Delay = d.between(0, pick(d, time.Second, time.Minute, 2*time.Hour))
	}
	if d.once(10) {
		e.Again = d.between(0, pick(d, time.Second, time.Minute, 2*time.Hour))
	}
	return e
}

func (d drawing) faults(s *Story) {
	last := s.Steps[len(s.Steps)-1].At + 30*time.Minute
	for range pick(d, 0, 0, 1, 2, 3) {
		kind := pick(d, TemporalDown, AnswersLost, Slow, WorkerDown, WorkerCutOff,
			SalesforceFails, SalesforceFails, SalesforceFails, OrgPaused, OrgBusy)
		inACall := kind == WorkerDown || kind == WorkerCutOff
		if s.Calm && inACall {
			continue
		}
		from := d.between(0, last)
		if inACall && d.once(2) { // when a call may be in flight
			call := pick(d, 0, time.Duration(*s.Policies[0].InactivateAfter))
			from = pick(d, s.Steps...).At + call + d.between(0, 2*time.Second)
		}
		f := Fault{Kind: kind, From: from, To: from + d.between(0, pick(d, time.Second, time.Minute, 10*time.Minute))}
		if kind == SalesforceFails {
			f.Answer = d.IntN(len(Answers))
			f.To = from + d.between(0, pick(d, time.Minute, time.Hour, 3*time.Hour, 30*time.Hour))
		}
		if kind == OrgPaused || kind == OrgBusy {
			f.To = from + d.between(0, pick(d, time.Minute, time.Hour, 3*time.Hour, 30*time.Hour))
		}
		s.Faults = append(s.Faults, f)
	}
}
