package workflows

import (
	"time"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
)

// minIdleDelay is the least time between the arrival of an activity and the
// Inactivate that follows it. Without it, the first event of a backlog that is
// delivered late would be overdue at once, and the second event would come too
// late to prevent the call.
const minIdleDelay = time.Second

// State is everything that a conversation remembers. Continue-as-new passes all
// of it to the next run.
type State struct {
	Identity conversation.Identity `json:"identity"`
	Policy   conversation.Policy   `json:"policy"`
	// IdentifiedAt is the event time of the newest start, zero as long as only a
	// provisional start is known.
	IdentifiedAt time.Time `json:"identifiedAt,omitzero"`
	// HasStart: a start of this session has arrived, so who it is about is certain.
	HasStart bool `json:"hasStart,omitempty"`
	// RefusedIdentity is the last start that named somebody else, and was not followed.
	RefusedIdentity *refusedIdentity `json:"refusedIdentity,omitempty"`

	// Generation numbers the sessions of this run. A call belongs to one of them.
	Generation   int       `json:"generation"`
	SessionSince time.Time `json:"sessionSince"`
	// KnownSince is when the workflow first heard of the session.
	KnownSince time.Time `json:"knownSince"`
	// EndedSessions are the ids of sessions before the current one.
	EndedSessions []string `json:"endedSessions,omitempty"`
	// HasPrevious: there was a session before the current one. PreviousUntil is until
	// when events belong to that one, zero if this is not known.
	HasPrevious   bool      `json:"hasPrevious,omitempty"`
	PreviousUntil time.Time `json:"previousUntil,omitzero"`
	// SessionStatus is the last status that Salesforce reported.
	SessionStatus   string    `json:"sessionStatus,omitempty"`
	SessionStatusAt time.Time `json:"sessionStatusAt,omitzero"`

	// InactiveSince is zero while the conversation is Active.
	InactiveSince time.Time `json:"inactiveSince,omitzero"`
	// InactivatedAt is when Salesforce answered to the Inactivate, if that is why the
	// conversation is Inactive.
	InactivatedAt time.Time `json:"inactivatedAt,omitzero"`
	// InactivateSince is when the Inactivate became due that is due or in flight,
	// zero if there is none.
	InactivateSince time.Time `json:"inactivateSince,omitzero"`
	LastActivityAt  time.Time `json:"lastActivityAt"`
	// ReceivedAt is when LastActivityAt became known.
	ReceivedAt time.Time `json:"receivedAt"`
	// Leases are held by senders that report in windows. A lease that ends before
	// LastActivityAt has no effect and is removed.
	Leases      []lease `json:"leases,omitempty"`
	LastMessage message `json:"lastMessage,omitzero"`

	Closing    *conversation.Closing `json:"closing,omitempty"`
	Blocked    *conversation.Answer  `json:"blocked,omitempty"`
	LastAnswer *conversation.Answer  `json:"lastAnswer,omitempty"`
	Attempts   int                   `json:"attempts"`
	Outcome    *conversation.Outcome `json:"outcome,omitempty"`
	// Next is the state of the conversation after its end: it collects the events
	// that happened after the close or the end.
	Next *State `json:"next,omitempty"`

	// Replaced is the session before this one, if a newer session replaced it in
	// this run.
	Replaced *replaced `json:"replaced,omitempty"`
	// Failing says that the call in flight keeps failing.
	Failing *conversation.CallFailing `json:"failing,omitempty"`
	// AliveAfterEnd is when Salesforce last reported a status of a session that it
	// had ended before, zero for never.
	AliveAfterEnd time.Time `json:"aliveAfterEnd,omitzero"`
	// Unreadable says which payload could not be read last.
	Unreadable string `json:"unreadable,omitempty"`
}

// refusedIdentity is a start whose identity did not count.
type refusedIdentity struct {
	At time.Time `json:"at"`
	// Fields are the JSON names of the fields with another value.
	Fields []string `json:"fields"`
}

// message is a message that was reported.
type message struct {
	SessionID string    `json:"sessionId,omitempty"`
	At        time.Time `json:"at"`
}

// replaced is a session that was replaced by a newer one.
type replaced struct {
	Generation int    `json:"generation"`
	SessionID  string `json:"sessionId,omitempty"`
	Attempts   int    `json:"attempts"`
}

// newState is the state at the start of a conversation. A start without a time,
// or with a future time, counts as received now.
func newState(start conversation.Start, now time.Time) *State {
	at := conversation.EventTime(start.At, now)
	s := &State{
		Identity:       start.Identity,
		Policy:         start.Policy.WithDefaults(),
		SessionSince:   at,
		KnownSince:     now,
		LastActivityAt: at,
		ReceivedAt:     now,
	}
	if !start.Provisional {
		s.IdentifiedAt, s.HasStart = at, true
	}
	if start.Previous != nil {
		s.HasPrevious = true
		if start.Previous.SessionID != "" { // otherwise it may go on
			s.PreviousUntil = conversation.EventTime(start.Previous.EndsEventsUntil, now)
		}
		s.EndedSessions = withID(nil, start.Previous.SessionID, start.SessionID)
	}
	return s
}

// Phase returns the phase of the conversation.
func (s *State) Phase() conversation.Phase {
	switch {
	case s.Outcome != nil:
		return conversation.Ended
	case s.Blocked != nil:
		return conversation.Blocked
	case s.inactive():
		return conversation.Inactive
	default:
		return conversation.Active
	}
}

func (s *State) inactive() bool { return !s.InactiveSince.IsZero() }

// decision is what a state decides at one moment.
type decision struct {
	// gaveUp: the conversation was Blocked for as long as its policy allows.
	gaveUp bool
	// due is the call that is due, nil if there is none.
	due *call
	// deadline is when to call step again if no event arrives before, zero for
	// never.
	deadline time.Time
}

// step advances the state to the present and decides what to do. The workflow's
// loop and the simulation both use it.
func (s *State) step(now time.Time) decision {
	s.expireLeases(now)
	due := s.dueCall(now)
	switch {
	case due == nil || due.Operation != conversation.Inactivate:
		s.InactivateSince = time.Time{}
	case s.InactivateSince.IsZero():
		s.InactivateSince = now
	}
	return decision{gaveUp: s.gaveUp(now), due: due, deadline: s.nextDeadline(now)}
}

// needsTimer reports whether a timer must be set for the deadline. firesAt is
// when the present timer fires, zero if there is none. A timer that fires before
// the deadline is kept: when it fires, the next decision sets it for the rest of
// the time. So a message does not cost a timer.
func (d decision) needsTimer(firesAt time.Time) bool {
	return !d.deadline.IsZero() && (firesAt.IsZero() || firesAt.After(d.deadline))
}

// call is a call to Salesforce that is due or in flight.
type call struct {
	Operation conversation.Operation
	activities.Request
	generation int
	// hangUp: the call ends a chat that was closed. It goes before other calls.
	hangUp bool
	// lastActivityAt is the last activity that was known when the call was decided.
	lastActivityAt time.Time
}

// same reports whether two calls send the same request for the same generation.
func (c call) same(other call) bool {
	return c.Operation == other.Operation && c.By == other.By &&
		c.Identity == other.Identity && c.generation == other.generation
}

// dueCall returns the call that is due now, nil if there is none. A call in
// flight that is not due any more has to be cancelled.
func (s *State) dueCall(now time.Time) *call {
	due := func(op conversation.Operation, by conversation.By) *call {
		c := s.newCall(op, by)
		return &c
	}
	switch {
	case s.Outcome != nil, s.Blocked != nil:
		return nil
	case s.Closing != nil:
		return due(conversation.End, s.Closing.By)
	case reached(s.endAt(), now):
		return due(conversation.End, conversation.System)
	case reached(s.inactivateAt(), now):
		return due(conversation.Inactivate, conversation.System)
	default:
		return nil
	}
}

func (s *State) newCall(op conversation.Operation, by conversation.By) call {
	return call{
		Operation:  op,
		Request:    activities.Request{Identity: s.Identity, By: by, KnownSince: s.KnownSince},
		generation: s.Generation, hangUp: s.Closing != nil, lastActivityAt: s.LastActivityAt,
	}
}

// inactivateAt is when an Active conversation is to be made Inactive, zero for
// never. It counts from aliveUntil. So it is exact while every sender renews or
// releases its lease, late by the rest of a window after a sender has died, and
// never early: a dead sender only collected messages while it held a lease.
func (s *State) inactivateAt() time.Time { return s.idleAt(s.aliveUntil()) }

// nextIdleCheck is the earliest time at which an Active conversation may be
// idle. A sender that is alive has renewed or released its lease by then. After
// that time the conversation waits only for leases that were neither renewed nor
// released.
//
// It counts from the last known activity, which only grows. So while leases are
// renewed or released in time, no event lowers the deadline and no timer is
// replaced. After the check, only a late report of such a holder can move the
// deadline to an earlier time.
func (s *State) nextIdleCheck(now time.Time) time.Time {
	if check := s.idleAt(s.LastActivityAt); now.Before(check) {
		return check
	}
	return s.inactivateAt()
}

// idleAt is when a conversation whose last activity was at this time becomes
// idle, zero for never. If the last activity was too late to prove anything, it is
// inactivateAfter after its arrival.
func (s *State) idleAt(lastActivity time.Time) time.Time {
	after := time.Duration(*s.Policy.InactivateAfter)
	if s.inactive() || after == 0 {
		return time.Time{}
	}
	delay := min(minIdleDelay, after)
	if s.isTooLate(s.LastActivityAt, s.ReceivedAt) {
		delay = after
	}
	return latest(lastActivity.Add(after), s.ReceivedAt.Add(delay))
}

// isTooLate reports whether an activity arrived after its own idle deadline. The
// quiet time until then proves nothing: later events may be on their way too, or
// the clock of the sender is behind.
func (s *State) isTooLate(at, arrived time.Time) bool {
	after := time.Duration(*s.Policy.InactivateAfter)
	return after != 0 && !arrived.Before(at.Add(after))
}

// isBeforeInactivate reports whether an activity changes nothing, because it
// happened before the conversation became Inactive, or before the Inactivate that
// is in flight became due, and has arrived too late to prevent that.
func (s *State) isBeforeInactivate(at, now time.Time) bool {
	return !at.After(latest(s.inactivatedAt(), s.InactivateSince)) && s.isTooLate(at, now)
}

// inactivatedAt is when the session became Inactive in Salesforce, as far as known, zero
// while the conversation is Active.
func (s *State) inactivatedAt() time.Time {
	if !s.inactive() || s.InactivatedAt.IsZero() {
		return s.InactiveSince
	}
	return s.InactivatedAt
}

// endAt is when an Inactive conversation is to be ended, zero for never. It waits
// for a lease that is held, because its holder may know of a message.
func (s *State) endAt() time.Time {
	after := time.Duration(*s.Policy.EndAfter)
	if !s.inactive() || after == 0 {
		return time.Time{}
	}
	return latest(s.InactiveSince.Add(after), s.leaseGraceUntil())
}

// blockedUntil is when the workflow of a Blocked conversation fails, zero for
// never.
func (s *State) blockedUntil() time.Time {
	after := time.Duration(*s.Policy.BlockedFor)
	if s.Blocked == nil || after == 0 {
		return time.Time{}
	}
	return s.Blocked.At.Add(after)
}

// nextDeadline is the next time at which the state may decide something without
// a new event, zero for never.
func (s *State) nextDeadline(now time.Time) time.Time {
	switch {
	case s.Outcome != nil:
		return time.Time{}
	case s.Blocked != nil:
		return s.blockedUntil()
	case s.Closing != nil:
		return time.Time{}
	case !s.leaseGraceUntil().IsZero():
		return s.leaseGraceUntil()
	case s.inactive():
		return s.endAt()
	default:
		return s.nextIdleCheck(now)
	}
}

func (s *State) gaveUp(now time.Time) bool { return reached(s.blockedUntil(), now) }

// reached reports whether a time is now or in the past. Zero is never reached.
func reached(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
