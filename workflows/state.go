package workflows

import (
	"slices"
	"time"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
)

// settle is the least time between hearing of a conversation and calling it
// idle. Without it a backlog, delivered late, would have its first event start
// an overdue clock and its second one come too late.
const settle = time.Second

// rememberedSessions bounds how many earlier sessions are known by id; older
// ones are told by their time.
const rememberedSessions = 10

// State is everything that a conversation remembers. Continue-as-new carries
// it whole.
type State struct {
	Identity conversation.Identity `json:"identity"`
	Policy   conversation.Policy   `json:"policy"`
	// IdentifiedAt is the event time of the newest start. A provisional input
	// does not count: it is made from an event of another type.
	IdentifiedAt time.Time `json:"identifiedAt,omitzero"`

	// Life counts the sessions this run has kept; a call belongs to one of them.
	Life         int       `json:"life"`
	SessionSince time.Time `json:"sessionSince"`
	Past         []string  `json:"past,omitempty"`
	// SessionStatus is the last one that Salesforce reported.
	SessionStatus   string    `json:"sessionStatus,omitempty"`
	SessionStatusAt time.Time `json:"sessionStatusAt,omitzero"`

	// Inactive since InactiveSince, Active while that is zero.
	InactiveSince  time.Time `json:"inactiveSince,omitzero"`
	LastActivityAt time.Time `json:"lastActivityAt"`
	// ReceivedAt is when LastActivityAt became known.
	ReceivedAt time.Time `json:"receivedAt"`
	// Promises are those of the senders that report in windows. One that ends
	// before LastActivityAt says nothing more and is left out.
	Promises    []promise            `json:"promises,omitempty"`
	LastMessage conversation.Message `json:"lastMessage,omitzero"`

	Closing *Closing              `json:"closing,omitempty"`
	Blocked *conversation.Answer  `json:"blocked,omitempty"`
	Answer  *conversation.Answer  `json:"answer,omitempty"`
	Calls   int                   `json:"calls"`
	Outcome *conversation.Outcome `json:"outcome,omitempty"`
	// Next is the life after this one: what arrived after the end.
	Next *State `json:"next,omitempty"`

	// Remark is the last thing that arrived and could not be understood.
	Remark string `json:"remark,omitempty"`
}

// Closing is a close that was asked for.
type Closing struct {
	By conversation.By `json:"by"`
	// SessionID is what the close named, which may be nothing.
	SessionID string    `json:"sessionId,omitempty"`
	At        time.Time `json:"at"`
}

// newState is a conversation at its start. A start without a time, or with one
// in the future, is of now.
func newState(start conversation.Start, now time.Time) *State {
	at := clamp(start.At, now)
	s := &State{
		Identity:       start.Identity,
		Policy:         start.Policy.WithDefaults(),
		SessionSince:   at,
		LastActivityAt: at,
		ReceivedAt:     now,
	}
	if !start.Provisional {
		s.IdentifiedAt = at
	}
	s.promise(start.Lease, at)
	return s
}

// Phase says where the conversation stands.
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

// call is one call to Salesforce that is due or under way.
type call struct {
	Operation conversation.Operation
	activities.Request
	life int
	// quietSince is the last activity known when the call was decided.
	quietSince time.Time
}

// same reports whether two calls would say the same to Salesforce about the
// same life.
func (c call) same(other call) bool {
	return c.Operation == other.Operation && c.By == other.By &&
		c.Identity == other.Identity && c.life == other.life
}

// due says which call is due now, if any. Whatever is under way and is not due
// any more has to be cancelled.
func (s *State) due(now time.Time) (call, bool) {
	end := s.endAt()
	idle := s.inactivateAt()
	switch {
	case s.Outcome != nil, s.Blocked != nil:
		return call{}, false
	case s.Closing != nil:
		return s.call(conversation.End, s.Closing.By), true
	case !end.IsZero() && !now.Before(end):
		return s.call(conversation.End, conversation.System), true
	case !idle.IsZero() && !now.Before(idle):
		return s.call(conversation.Inactivate, conversation.System), true
	default:
		return call{}, false
	}
}

func (s *State) call(op conversation.Operation, by conversation.By) call {
	return call{
		Operation: op,
		Request:   activities.Request{Identity: s.Identity, By: by, SessionSince: s.SessionSince},
		life:      s.Life, quietSince: s.LastActivityAt,
	}
}

// inactivateAt is when an Active conversation is to be made Inactive, zero when
// that is not going to happen. It counts from the horizon: exact while senders
// keep their promises, late by the rest of a window when one has died, and never
// early, because whatever a dead sender kept to itself was within its promise.
func (s *State) inactivateAt() time.Time { return s.idleAfter(s.horizon()) }

// lookAt is the earliest moment at which an Active conversation may turn out to
// be idle: by then a sender that lives has reported again or taken its promise
// back, and only a promise that was broken is waited for. It counts from what is
// known, which only grows, so while promises are kept no report asks for an
// earlier look, and the timer that stands never has to be lowered. After the look
// only a late word of a sender that was waited for can lower it, which makes
// exact what would be late.
func (s *State) lookAt(now time.Time) time.Time {
	if look := s.idleAfter(s.LastActivityAt); now.Before(look) {
		return look
	}
	return s.inactivateAt()
}

func (s *State) idleAfter(quiet time.Time) time.Time {
	after := time.Duration(*s.Policy.InactivateAfter)
	if s.inactive() || after == 0 {
		return time.Time{}
	}
	return latest(quiet.Add(after), s.ReceivedAt.Add(min(settle, after)))
}

// endAt is when an Inactive conversation is to be ended, zero when that is not
// going to happen. A promise that stands is waited for: a message may have come.
func (s *State) endAt() time.Time {
	after := time.Duration(*s.Policy.EndAfter)
	if !s.inactive() || after == 0 {
		return time.Time{}
	}
	return latest(s.InactiveSince.Add(after), s.openUntil())
}

// blockedUntil is when a Blocked conversation gives up, zero when never.
func (s *State) blockedUntil() time.Time {
	after := time.Duration(*s.Policy.BlockedFor)
	if s.Blocked == nil || after == 0 {
		return time.Time{}
	}
	return s.Blocked.At.Add(after)
}

// deadline is the next moment at which time alone may change something, zero
// when there is none.
func (s *State) deadline(now time.Time) time.Time {
	switch {
	case s.Outcome != nil:
		return time.Time{}
	case s.Blocked != nil:
		return s.blockedUntil()
	case s.Closing != nil:
		return time.Time{}
	case !s.openUntil().IsZero():
		return s.openUntil()
	case s.inactive():
		return s.endAt()
	default:
		return s.lookAt(now)
	}
}

// gaveUp reports whether the conversation was Blocked for as long as it may.
func (s *State) gaveUp(now time.Time) bool {
	until := s.blockedUntil()
	return !until.IsZero() && !now.Before(until)
}

// place is how an event stands to the session being kept.
type place int

const (
	earlier place = iota // of a session before this one
	present
	later // of a session that takes this one's place
)

// place tells an event's session. An id that is not known decides by time,
// because events may arrive in any order. So does an event without one, when it
// is sure since when the session is.
func (s *State) place(sessionID string, at time.Time) place {
	sure := len(s.Past) > 0 || !s.IdentifiedAt.IsZero()
	switch {
	case sessionID == "" && sure && at.Before(s.SessionSince):
		return earlier
	case s.isPast(sessionID):
		return earlier
	case s.mayBe(sessionID):
		return present
	case at.Before(s.SessionSince):
		return earlier
	default:
		return later
	}
}

// mayBe reports whether an id, where there is one, is that of the present
// session, where it is known.
func (s *State) mayBe(sessionID string) bool {
	known := s.Identity.SessionID
	return sessionID == "" || known == "" || conversation.SameSession(sessionID, known)
}

func (s *State) isPast(sessionID string) bool {
	return slices.ContainsFunc(s.Past, func(id string) bool { return conversation.SameSession(id, sessionID) })
}

// adopt goes over to a newer session: the one before is over, whatever was
// going on with it.
func (s *State) adopt(sessionID string, at, now time.Time) {
	next := s.nextLife(sessionID, at, now)
	next.Life, next.Remark = s.Life+1, s.Remark
	*s = *next
}

// nextLife is the conversation after its end, or with a newer session. What has
// come too early, and named no other session, belongs to it.
func (s *State) nextLife(sessionID string, at, now time.Time) *State {
	next := newState(conversation.Start{Identity: s.Identity, Policy: s.Policy, At: at}, now)
	next.Identity.SessionID = sessionID
	next.IdentifiedAt = s.IdentifiedAt
	next.Promises = slices.Clone(s.Promises)
	next.Past = s.withPast(sessionID)
	if m := s.LastMessage; !m.At.Before(at) && next.mayBe(m.SessionID) {
		next.LastActivityAt, next.LastMessage = m.At, m
	}
	if c := s.Closing; c != nil && c.At.After(at) && next.mayBe(c.SessionID) {
		next.Closing = c
	}
	return next
}

// withPast is the past with the present session in it, once another follows.
func (s *State) withPast(following string) []string {
	known := s.Identity.SessionID
	if known == "" || conversation.SameSession(known, following) {
		return s.Past
	}
	past := append(slices.Clone(s.Past), known)
	return past[max(0, len(past)-rememberedSessions):]
}

// over ends the present life. Events up to covers belong to it.
func (s *State) over(why conversation.Why, by string, at, covers time.Time) {
	s.Blocked = nil
	s.Outcome = &conversation.Outcome{
		Why: why, EndedBy: by, At: at, EndsEventsUntil: covers,
		SessionID: s.Identity.SessionID, Attempts: s.Calls, LastAnswer: s.Answer,
	}
	if s.Next != nil && s.mayBe(s.Next.Identity.SessionID) && !s.Next.LastActivityAt.After(covers) {
		s.Next = nil
	}
	s.outlive(covers, at)
}

// outlive begins the next life when somebody wrote after the end of this one.
func (s *State) outlive(end, now time.Time) {
	if s.Next == nil && s.LastMessage.At.After(end) {
		s.Next = s.nextLife(s.LastMessage.SessionID, s.LastMessage.At, now)
	}
}

// canceled marks an end that an operator's cancel asked for.
func (s *State) canceled() {
	if s.Outcome != nil && s.Outcome.Why == conversation.Closed {
		s.Outcome.Why = conversation.Canceled
	}
}

func clamp(at, now time.Time) time.Time {
	if at.IsZero() || at.After(now) {
		return now
	}
	return at
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
