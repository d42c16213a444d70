package workflows

import (
	"time"

	"sessionkeeper/conversation"
)

// The events, as changes of the state. Each first finds the life it belongs
// to: events of an earlier session change nothing, those of a later one go over
// to it, those after an end begin the next life.

// started takes a start: its identity and policy when it is the newest, and its
// session. One that names no conversation says nothing.
func (s *State) started(e conversation.Start, now time.Time) {
	if e.ConversationIdentifier == "" {
		return
	}
	at := clamp(e.At, now)
	life := s
	if s.Outcome != nil || !conversation.SameSession(e.SessionID, s.Identity.SessionID) {
		life = s.lifeOf(e.SessionID, at, now)
	}
	if life == nil {
		s.promised(s, e.Lease, at)
		return
	}
	life.know(e.SessionID, at)
	life.identify(e, at)
	if at.Before(life.SessionSince) {
		life.SessionSince = at
	}
	if !life.inactive() && at.After(life.LastActivityAt) {
		life.LastActivityAt, life.ReceivedAt = at, now
	}
	s.promised(life, e.Lease, at)
}

// message takes a sign of life. One that is older than what is known changes
// nothing.
func (s *State) message(e conversation.Message, now time.Time) {
	e.At = clamp(e.At, now)
	life := s.lifeOf(e.SessionID, e.At, now)
	if life == nil {
		s.promised(s, e.Lease, e.At)
		return
	}
	s.wrote(e)
	life.wrote(e)
	defer s.promised(life, e.Lease, e.At)
	if life.Closing != nil && !e.At.After(life.Closing.At) || !e.At.After(life.LastActivityAt) {
		return
	}
	life.Closing = nil
	life.alive(e.At, now)
}

func (s *State) wrote(e conversation.Message) {
	if e.At.After(s.LastMessage.At) {
		s.LastMessage = conversation.Message{SessionID: e.SessionID, At: e.At}
	}
}

// alive starts the idle clock anew. Salesforce's own word that the session is
// Inactive stands against what happened before it.
func (s *State) alive(at, now time.Time) {
	s.LastActivityAt, s.ReceivedAt = at, now
	s.Blocked = nil
	if s.SessionStatus != conversation.StatusInactive || at.After(s.SessionStatusAt) {
		s.InactiveSince = time.Time{}
	}
}

// closed takes a close. Of an ended session it is a repetition.
func (s *State) closed(e conversation.Close, now time.Time) {
	e.At = clamp(e.At, now)
	if s.place(e.SessionID, e.At) == present {
		switch {
		case s.Outcome != nil && s.Next == nil:
			return
		case s.Outcome == nil && s.Closing != nil:
			s.closedAgain(e)
			return
		}
	}
	life := s.lifeOf(e.SessionID, e.At, now)
	switch {
	case life == nil:
		return
	case life.Closing != nil:
		life.closedAgain(e)
		return
	}
	by := e.By
	if by != conversation.EndUser {
		by = conversation.System
	}
	life.Closing, life.Blocked = &Closing{By: by, SessionID: e.SessionID, At: e.At}, nil
	life.outlive(e.At, now)
}

// closedAgain takes another close of a session that is being closed: a Blocked
// one is tried again, and what was written in between is covered by it.
func (s *State) closedAgain(e conversation.Close) {
	s.know(e.SessionID, e.At)
	s.Blocked = nil
	if !e.At.After(s.Closing.At) {
		return
	}
	s.Closing.At = e.At
	if s.Next != nil && s.mayBe(s.Next.Identity.SessionID) && !s.Next.LastActivityAt.After(e.At) {
		s.Next = nil
	}
}

// sessionStatus takes what Salesforce says about a session. The end is its last
// word, whenever it arrives.
func (s *State) sessionStatus(e conversation.SessionStatus, now time.Time) {
	at := e.At
	if at.IsZero() {
		at = e.EndTime.Time
	}
	at = clamp(at, now)
	began := at
	for _, t := range []conversation.Timestamp{e.StartTime, e.EndTime} {
		if !t.IsZero() && t.Before(began) {
			began = t.Time
		}
	}
	life := s
	switch s.place(e.SessionID, began) {
	case present:
	case later:
		if e.Status == conversation.StatusEnded {
			// Whichever session that was, it is over. It must not take the place
			// of one that may be alive.
			return
		}
		life = s.lifeOf(e.SessionID, began, now)
	default:
		return
	}
	switch {
	case life == nil, life.Outcome != nil, e.Status == "":
		return
	case at.Before(life.SessionStatusAt) && e.Status != conversation.StatusEnded:
		return
	}
	life.know(e.SessionID, began)
	life.SessionStatus, life.SessionStatusAt = e.Status, at
	switch e.Status {
	case conversation.StatusEnded:
		life.over(conversation.EndedInSalesforce, e.EndedByRole, at, at)
	case conversation.StatusInactive:
		life.toldInactive(at)
	case conversation.StatusNew, conversation.StatusWaiting, conversation.StatusActive:
		if life.Closing == nil && at.After(life.LastActivityAt) {
			life.alive(at, now)
		}
	}
}

// toldInactive takes Salesforce's word that the session is Inactive: what was
// to be reached by a call that is Blocked is reached.
func (s *State) toldInactive(at time.Time) {
	if s.inactive() || at.Before(s.LastActivityAt) {
		return
	}
	s.InactiveSince = at
	if s.Closing == nil {
		s.Blocked = nil
	}
}

// retry takes an operator's word that the cause of a block is gone.
func (s *State) retry() { s.Blocked = nil }

// lifeOf finds the life that an event belongs to, nil when it belongs to one
// that is over.
func (s *State) lifeOf(sessionID string, at, now time.Time) *State {
	where := s.place(sessionID, at)
	switch {
	case where == earlier:
		return nil
	case where == later && s.Outcome == nil:
		s.adopt(sessionID, at, now)
		return s
	case where == present && !s.endedBefore(at):
		if s.Outcome != nil {
			return nil
		}
		s.know(sessionID, at)
		return s
	case s.Next == nil:
		s.Next = s.nextLife(sessionID, at, now)
		return s.Next
	default:
		return s.Next.lifeOf(sessionID, at, now)
	}
}

// endedBefore reports whether something that happened at this time came after
// the end, which may still be under way. While Blocked, a close is not final: a
// message goes on from there.
func (s *State) endedBefore(at time.Time) bool {
	switch {
	case s.Outcome != nil:
		return at.After(s.Outcome.EndsEventsUntil)
	case s.Closing != nil && s.Blocked == nil:
		return at.After(s.Closing.At)
	default:
		return false
	}
}

// know takes in the id of the present session, and that it is at least so old.
func (s *State) know(sessionID string, at time.Time) {
	if sessionID == "" {
		return
	}
	if s.Identity.SessionID == "" {
		s.Identity.SessionID = sessionID
		s.Blocked = nil
	}
	if at.Before(s.SessionSince) {
		s.SessionSince = at
	}
}

// identify takes over what the newest start says of identity and policy.
func (s *State) identify(e conversation.Start, at time.Time) {
	if at.Before(s.IdentifiedAt) {
		return
	}
	s.IdentifiedAt = at
	before := s.Identity
	set(&s.Identity.AuthorizationContext, e.AuthorizationContext)
	set(&s.Identity.ChannelAddressIdentifier, e.ChannelAddressIdentifier)
	set(&s.Identity.EndUserClientID, e.EndUserClientID)
	if s.Identity != before {
		s.Blocked = nil
	}
	set(&s.Policy.InactivateAfter, e.Policy.InactivateAfter)
	set(&s.Policy.EndAfter, e.Policy.EndAfter)
	set(&s.Policy.BlockedFor, e.Policy.BlockedFor)
	s.Policy.EndOnCancel = s.Policy.EndOnCancel || e.Policy.EndOnCancel
}

func set[T comparable](field *T, value T) {
	var absent T
	if value != absent {
		*field = value
	}
}
