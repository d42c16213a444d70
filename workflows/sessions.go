package workflows

import (
	"slices"
	"time"

	"sessionkeeper/conversation"
)

// maxEndedSessions limits how many earlier session ids are remembered. Events of
// older sessions are recognized by their time.
const maxEndedSessions = 10

// sessionOrder is the order of an event's session relative to the current one.
type sessionOrder int

const (
	previous sessionOrder = iota // an earlier session
	current
	newer // a session that replaces the current one
)

// orderOf finds the session of an event. If the id is unknown, the time decides,
// because events arrive in any order. The time also decides for an event without
// an id, if the beginning of the current session is known for certain.
func (s *State) orderOf(sessionID string, at time.Time) sessionOrder {
	switch {
	case sessionID == "" && s.sinceIsCertain() && at.Before(s.SessionSince):
		return previous
	case s.hasEnded(sessionID), s.isBeforePreviousEnd(sessionID, at):
		return previous
	case s.mayBeCurrent(sessionID):
		return current
	case at.Before(s.SessionSince):
		return previous
	default:
		return newer
	}
}

// isOfEarlier reports whether an event that is no start, and names an unknown session,
// belongs to an earlier one although its time is not before the current session: it
// happened within conversation.ClockTolerance of the beginning of that. The clocks differ,
// and few sessions are so short. Without this rule a session that has just begun would
// count as over. The other way round, the next event of the newer session puts it right.
func (s *State) isOfEarlier(sessionID string, at time.Time) bool {
	return s.orderOf(sessionID, at) == newer && !at.After(s.SessionSince.Add(conversation.ClockTolerance))
}

// isBeforePreviousEnd reports whether an event names an earlier session whose id is not
// remembered, while the id of the current one is not known yet: it happened before the
// end of the previous session.
func (s *State) isBeforePreviousEnd(sessionID string, at time.Time) bool {
	return sessionID != "" && s.Identity.SessionID == "" && at.Before(s.PreviousUntil.Add(-conversation.ClockTolerance))
}

func (s *State) sinceIsCertain() bool { return s.HasPrevious || !s.IdentifiedAt.IsZero() }

// notBeforeSession returns the time that counts for an event of this time. If the
// event names no session, happened a moment before the current session, and no
// earlier session is known that it could belong to, then only the clocks differ:
// it counts as of the beginning of the session.
func (s *State) notBeforeSession(sessionID string, at time.Time) time.Time {
	early := s.SessionSince.Sub(at)
	certain := s.sinceIsCertain() && !s.HasPrevious && s.Outcome == nil
	if certain && sessionID == "" && 0 < early && early <= conversation.ClockTolerance {
		return s.SessionSince
	}
	return at
}

// mayBeCurrent reports whether an id is that of the current session. An absent or
// unknown id may be.
func (s *State) mayBeCurrent(sessionID string) bool {
	known := s.Identity.SessionID
	return sessionID == "" || known == "" || conversation.SameSession(sessionID, known)
}

// hasEnded reports whether a session is known to have ended. Its events belong to
// the past, whatever their time is.
func (s *State) hasEnded(sessionID string) bool {
	if s.Outcome != nil && !s.Outcome.MayBeInactive() && conversation.SameSession(s.Identity.SessionID, sessionID) {
		return true
	}
	return slices.ContainsFunc(s.EndedSessions, func(id string) bool {
		return conversation.SameSession(id, sessionID)
	})
}

// stateFor returns the state that an event changes: this one, or the one after
// the end. It returns nil if the event's session has ended.
func (s *State) stateFor(sessionID string, at, now time.Time) *State {
	order := s.orderOf(sessionID, at)
	switch {
	case order == previous:
		return nil
	case order == newer && s.Outcome == nil:
		s.switchSession(sessionID, at, now)
		return s
	case order == current && !s.endedBefore(at):
		if s.Outcome != nil {
			return nil
		}
		s.recordSession(sessionID, at)
		return s
	case s.Next == nil:
		s.Next = s.nextSession(sessionID, at, now)
		return s.Next
	default:
		return s.Next.stateAsNext(sessionID, at, now)
	}
}

// stateAsNext is stateFor for a session that has not begun yet. It has no next
// session of its own, so that the state does not grow. Its last message is enough
// to begin one when its run begins, see [State.asFirst].
func (s *State) stateAsNext(sessionID string, at, now time.Time) *State {
	switch s.orderOf(sessionID, at) {
	case previous:
		return nil
	case newer:
		s.switchSession(sessionID, at, now)
	default:
		s.recordSession(sessionID, at)
	}
	return s
}

// endedBefore reports whether an event at this time happened after the end or
// after a close that is in progress. A Blocked close is not final: a message
// continues the session.
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

// recordSession stores the id of the current session, and that it began no later
// than this.
func (s *State) recordSession(sessionID string, at time.Time) {
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

// switchSession replaces the current session by a newer one. The current session
// has ended, so a close or a block of it is dropped.
func (s *State) switchSession(sessionID string, at, now time.Time) {
	next := s.nextSession(sessionID, at, now)
	next.Generation, next.Unreadable, next.AliveAfterEnd = s.Generation+1, s.Unreadable, s.AliveAfterEnd
	next.RefusedIdentity = s.RefusedIdentity
	next.Failing = s.Failing // the call of the session that is replaced is still in flight
	next.Replaced = &replaced{Generation: s.Generation, SessionID: s.Identity.SessionID, Attempts: s.Attempts}
	*s = *next
}

// nextSession is the state of the session that follows this one. A message or a
// close that arrived too early, and named no other session, is part of it. A close is
// not part of it if its time is so near that the clocks may differ: it would end a
// session that has just begun.
func (s *State) nextSession(sessionID string, at, now time.Time) *State {
	next := newState(conversation.Start{Identity: s.Identity, Policy: s.Policy, At: at}, now)
	next.Identity.SessionID = sessionID
	next.IdentifiedAt, next.HasStart = s.IdentifiedAt, false
	next.Leases = slices.Clone(s.Leases)
	next.PreviousUntil = s.endsEventsUntil()
	next.HasPrevious, next.EndedSessions = true, withID(s.EndedSessions, s.Identity.SessionID, sessionID)
	if m := s.LastMessage; !m.At.Before(at) && next.mayBeCurrent(m.SessionID) {
		next.LastActivityAt, next.LastMessage = m.At, m
	}
	if c := s.Closing; c != nil {
		named := c.At.After(at) && conversation.SameSession(c.SessionID, sessionID)
		unnamed := c.At.After(at.Add(conversation.ClockTolerance)) && c.SessionID == ""
		if named || unnamed {
			next.Closing = c
		}
	}
	return next
}

// isStillToEnd reports whether Salesforce answered only that the session is not active: a
// close of it is for the next run, which has the same session.
func (s *State) isStillToEnd() bool {
	isSame := s.Next == nil || s.Next.Identity.SessionID == s.Identity.SessionID
	return s.Outcome != nil && s.Outcome.MayBeInactive() && isSame
}

// sameSession is the state of a next run that has the same session.
func (s *State) sameSession(now time.Time) *State {
	next := s.nextSession(s.Identity.SessionID, s.SessionSince, now)
	next.HasPrevious, next.PreviousUntil, next.HasStart = s.HasPrevious, s.PreviousUntil, s.HasStart
	return next
}

// endsEventsUntil is the latest time of an event that belongs to this session, zero if it
// is not over.
func (s *State) endsEventsUntil() time.Time {
	switch {
	case s.Outcome != nil:
		return s.Outcome.EndsEventsUntil
	case s.Closing != nil:
		return s.Closing.At
	default:
		return time.Time{}
	}
}

// withID adds the id of a session that has ended, if it is known, and not the id
// of the session that follows.
func withID(ended []string, id, nextID string) []string {
	if id == "" || conversation.SameSession(id, nextID) {
		return ended
	}
	ended = append(slices.Clone(ended), id)
	return ended[max(0, len(ended)-maxEndedSessions):]
}

// end ends the session. Events up to endsEventsUntil belong to it.
func (s *State) end(why conversation.Why, by string, endsEventsUntil, now time.Time) {
	s.Blocked = nil
	s.Outcome = &conversation.Outcome{
		Why: why, EndedBy: by, At: now, EndsEventsUntil: endsEventsUntil,
		SessionID: s.Identity.SessionID, StartedAt: s.SessionSince,
		Attempts: s.Attempts, LastAnswer: s.LastAnswer, Policy: s.Policy,
	}
	s.dropNextUntil(endsEventsUntil)
	if s.Next != nil && s.hasEnded(s.Next.Identity.SessionID) {
		s.Next = nil
	}
	s.startNextIfMessageAfter(endsEventsUntil, now)
}

// dropNextUntil removes the next session if all of its events belong to this one,
// because this session ended later than was known.
func (s *State) dropNextUntil(end time.Time) {
	if s.Next != nil && s.mayBeCurrent(s.Next.Identity.SessionID) && !s.Next.LastActivityAt.After(end) {
		s.Next = nil
	}
}

// startNextIfMessageAfter begins the next session if the last message is later
// than the end of this one.
func (s *State) startNextIfMessageAfter(end, now time.Time) {
	if s.Next == nil && s.LastMessage.At.After(end) && !s.hasEnded(s.LastMessage.SessionID) {
		s.Next = s.nextSession(s.LastMessage.SessionID, s.LastMessage.At, now)
	}
}

// asFirst returns the next session as the first one of the next run.
func (s *State) asFirst(now time.Time) *State {
	next := s.Next
	if next.Outcome != nil || next.Closing != nil {
		next.startNextIfMessageAfter(next.endsEventsUntil(), now)
	}
	return next
}

// markCanceled records that the End was made because the workflow was cancelled.
func (s *State) markCanceled() {
	if s.Outcome != nil && s.Outcome.Why == conversation.Closed {
		s.Outcome.Why = conversation.Canceled
	}
}
