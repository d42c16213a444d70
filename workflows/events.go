package workflows

import (
	"cmp"
	"time"

	"sessionkeeper/conversation"
)

// Each event first selects the state that it changes, see [State.stateFor]: an
// event of an earlier session changes nothing, an event of a newer session
// switches to that session, and an event after the end belongs to the next one.

// applyStart takes the identity and policy of the newest start, and its session. It
// reports whether the identity was refused, see [State.identify].
func (s *State) applyStart(e conversation.Start, now time.Time) (refused bool) {
	at := conversation.EventTime(e.At, now)
	state, wasBlocked := s, s.Blocked != nil
	switch {
	case s.Outcome == nil && conversation.SameSession(e.SessionID, s.Identity.SessionID):
	case s.Outcome == nil && s.isStartOfClosing(e, at):
		s.Closing.At = latest(s.Closing.At, at)
	default:
		state = s.stateFor(e.SessionID, at, now)
	}
	if state == nil {
		return false
	}
	state.recordSession(e.SessionID, at)
	refused = state.identify(e, at, wasBlocked && state == s)
	if state != s && state.Closing != nil && at.After(state.Closing.At) {
		state.recordMessage(conversation.Message{SessionID: e.SessionID, At: at})
	}
	if at.Before(state.SessionSince) {
		state.SessionSince = at
	}
	if !state.inactive() && at.After(state.LastActivityAt) && !state.isBeforeInactivate(at, now) {
		state.LastActivityAt, state.ReceivedAt = at, now
		state.dropStaleLeases()
	}
	return refused
}

// isStartOfClosing reports whether a start is the first of a conversation that is
// being closed already. The close arrived first, and its time is a moment before
// the time of the start, because clocks differ.
func (s *State) isStartOfClosing(e conversation.Start, at time.Time) bool {
	return s.IdentifiedAt.IsZero() && !s.HasPrevious && s.Closing != nil &&
		s.mayBeCurrent(e.SessionID) && !at.After(s.Closing.At.Add(conversation.ClockTolerance))
}

// applyMessage restarts the idle time. A message that is older than the last
// activity does not.
func (s *State) applyMessage(e conversation.Message, now time.Time) {
	reported := conversation.EventTime(e.At, now)
	e.At = s.notBeforeSession(e.SessionID, reported)
	// A lease has the time that its holder knows, so that the holder can release it.
	defer func() { s.applyLease(e.Lease, reported) }()
	if s.isOfEarlier(e.SessionID, e.At) {
		return
	}
	state := s.stateFor(e.SessionID, e.At, now)
	if state == nil {
		return
	}
	s.recordMessage(e)
	state.recordMessage(e)
	switch {
	case state.Closing != nil && !e.At.After(state.Closing.At), !e.At.After(state.LastActivityAt):
		return
	case state != s && state.Closing != nil:
		// The next session is closed already. The message begins the one after it.
		return
	case state.isBeforeInactivate(e.At, now):
		return
	}
	state.Closing = nil
	state.markActive(e.At, now)
}

func (s *State) recordMessage(e conversation.Message) {
	if e.At.After(s.LastMessage.At) {
		s.LastMessage = message{SessionID: e.SessionID, At: e.At}
	}
}

// markActive restarts the idle time. If Salesforce itself reported that the
// session is Inactive, only a later activity makes it Active again.
func (s *State) markActive(at, now time.Time) {
	s.LastActivityAt, s.ReceivedAt = at, now
	s.Blocked = nil
	switch {
	case s.SessionStatus != conversation.StatusInactive || at.After(s.SessionStatusAt):
		s.InactiveSince = time.Time{}
	case s.inactive():
		s.InactiveSince, s.InactivatedAt = latest(s.InactiveSince, s.SessionStatusAt), time.Time{}
	}
}

// applyClose requests the End. For a session that has ended it is a repetition
// and changes nothing. It returns the state of the session that is closed, this one or the
// next; nil if that is an earlier one.
func (s *State) applyClose(e conversation.Close, now time.Time) *State {
	e.At = s.notBeforeSession(e.SessionID, conversation.EventTime(e.At, now))
	if s.isOfEarlier(e.SessionID, e.At) {
		return nil
	}
	order := s.orderOf(e.SessionID, e.At)
	if order == current && s.isStillToEnd() {
		if s.Next == nil {
			s.Next = s.sameSession(now)
		}
		return s.Next.applyClose(e, now)
	}
	if order == current {
		switch {
		case s.Outcome != nil && s.Next == nil:
			return s
		case s.Outcome == nil && s.Closing != nil:
			s.repeatClose(e)
			return s
		}
	}
	state := s.stateFor(e.SessionID, e.At, now)
	switch {
	case state == nil && (order == current || conversation.SameSession(e.SessionID, s.Identity.SessionID)):
		return s
	case state == nil:
		return nil
	case state.Closing != nil:
		state.repeatClose(e)
		return state
	}
	by := e.By
	if by != conversation.EndUser {
		by = conversation.System
	}
	state.Closing, state.Blocked = &conversation.Closing{By: by, SessionID: e.SessionID, At: e.At}, nil
	state.startNextIfMessageAfter(e.At, now)
	return state
}

// repeatClose applies another close of a session that is being closed. A Blocked
// close is tried again. A later close also covers the messages before it.
func (s *State) repeatClose(e conversation.Close) {
	s.recordSession(e.SessionID, e.At)
	s.Blocked = nil
	if e.At.After(s.Closing.At) {
		s.Closing.At = e.At
		s.dropNextUntil(e.At)
	}
}

// applySessionStatus applies what Salesforce reports about a session. Ended is
// final, so it counts even if it arrives after a later status. The session has
// ended at its EndTime, if there is one: the entry may have been sent later.
func (s *State) applySessionStatus(e conversation.SessionStatus, now time.Time) {
	at := e.At
	if at.IsZero() {
		at = e.EndTime.Time
	}
	timed := !at.IsZero()
	at = conversation.EventTime(at, now)
	began := at
	for _, t := range []conversation.Timestamp{e.StartTime, e.EndTime} {
		if !t.IsZero() && t.Before(began) {
			began = t.Time
		}
	}
	state := s
	switch s.orderOf(e.SessionID, began) {
	case current:
	case newer:
		if s.Next != nil && conversation.SameSession(s.Next.Identity.SessionID, e.SessionID) {
			s.Next.applySessionStatus(e, now)
			s.Next.Next = nil // asFirst begins it
			return
		}
		// Salesforce's own start time needs no tolerance.
		isOfEarlier := e.StartTime.IsZero() && s.isOfEarlier(e.SessionID, began)
		if isOfEarlier || e.Status == conversation.StatusEnded {
			// The unknown session has ended. It must not replace a session that
			// may still be alive.
			return
		}
		state = s.stateFor(e.SessionID, began, now)
	default:
		s.noticeAlive(e, at)
		return
	}
	switch {
	case state == nil, state.Outcome != nil, e.Status == "":
		return
	case at.Before(state.SessionStatusAt) && e.Status != conversation.StatusEnded:
		return
	}
	state.recordSession(e.SessionID, began)
	inactiveSince := state.InactiveSince
	if *state.Policy.InactivateAfter == 0 && state.inactive() {
		inactiveSince = state.SessionStatusAt // only Salesforce makes it Inactive, see expireLeases
	}
	state.SessionStatus, state.SessionStatusAt = e.Status, at
	switch e.Status {
	case conversation.StatusEnded:
		ended := cmp.Or(e.EndTime.Time, at)
		state.end(conversation.EndedInSalesforce, e.EndedByRole, conversation.EventTime(ended, now), now)
	case conversation.StatusInactive:
		state.markInactive(at, timed)
	case conversation.StatusNew, conversation.StatusWaiting, conversation.StatusActive:
		if state.Closing == nil && at.After(latest(state.LastActivityAt, inactiveSince)) &&
			!state.isBeforeInactivate(at, now) {
			state.markActive(at, now)
		}
	}
}

// noticeAlive records that Salesforce reports a session as alive after it has
// ended it. Nothing is called again: the operator has to look at it.
func (s *State) noticeAlive(e conversation.SessionStatus, at time.Time) {
	ended := s.SessionSince
	if s.Outcome != nil {
		ended = s.Outcome.At
	}
	if s.hasEnded(e.SessionID) && e.IsAlive() && at.After(ended) {
		s.AliveAfterEnd = at
	}
}

// applyCallFailing records that the call in flight keeps failing.
func (s *State) applyCallFailing(e conversation.CallFailing) { s.Failing = &e }

// markInactive records that Salesforce reported the session as Inactive. A second
// Inactive counts if it is more than conversation.ClockTolerance later: somebody wrote in
// between. Within it, it is the report of our own Inactivate. A Blocked Inactivate is not
// needed any more.
func (s *State) markInactive(at time.Time, timed bool) {
	isRepeated := s.inactive() && (!timed || !at.After(s.InactiveSince.Add(conversation.ClockTolerance)))
	if isRepeated || at.Before(s.LastActivityAt) {
		return
	}
	s.InactiveSince, s.InactivatedAt = at, time.Time{}
	if s.Closing == nil {
		s.Blocked = nil
	}
}

// applyRetry tries the blocked call again: an operator says that its cause has
// been removed.
func (s *State) applyRetry() { s.Blocked = nil }

// identify takes the identity and policy of the newest start of this session. A first one
// counts also if its clock is behind that of a start of the session before. Once a start of this session
// has arrived, another end user, channel or channel address does not count: a call would
// concern somebody else, and the session would stay as it is. While the conversation is
// Blocked, it counts: that is how an operator corrects it.
func (s *State) identify(e conversation.Start, at time.Time, isBlocked bool) (refused bool) {
	if s.HasStart && at.Before(s.IdentifiedAt) {
		return false
	}
	s.IdentifiedAt = latest(s.IdentifiedAt, at)
	changed := changedFields(s.Identity, e.Identity)
	refused = len(changed) > 0 && s.HasStart && !isBlocked
	if refused {
		s.RefusedIdentity = &refusedIdentity{At: at, Fields: changed}
	} else {
		s.HasStart, s.RefusedIdentity = true, nil
		s.takeIdentity(e.Identity)
	}
	setIfPresent(&s.Policy.InactivateAfter, e.Policy.InactivateAfter)
	setIfPresent(&s.Policy.EndAfter, e.Policy.EndAfter)
	setIfPresent(&s.Policy.BlockedFor, e.Policy.BlockedFor)
	s.Policy.EndOnCancel = s.Policy.EndOnCancel || e.Policy.EndOnCancel
	return refused
}

// changedFields are the JSON names of the known fields that have another value. A field
// that completes an identity does not change it.
func changedFields(known, given conversation.Identity) (changed []string) {
	for _, field := range []struct{ name, known, given string }{
		{"authorizationContext", known.AuthorizationContext, given.AuthorizationContext},
		{"channelAddressIdentifier", known.ChannelAddressIdentifier, given.ChannelAddressIdentifier},
		{"endUserClientId", known.EndUserClientID, given.EndUserClientID},
	} {
		if field.known != "" && field.given != "" && field.known != field.given {
			changed = append(changed, field.name)
		}
	}
	return changed
}

func (s *State) takeIdentity(given conversation.Identity) {
	before := s.Identity
	setIfPresent(&s.Identity.AuthorizationContext, given.AuthorizationContext)
	setIfPresent(&s.Identity.ChannelAddressIdentifier, given.ChannelAddressIdentifier)
	setIfPresent(&s.Identity.EndUserClientID, given.EndUserClientID)
	if s.Identity != before {
		s.Blocked = nil
	}
}

func setIfPresent[T comparable](field *T, value T) {
	var absent T
	if value != absent {
		*field = value
	}
}
