package workflows

import (
	"cmp"
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
)

// succeeded takes Salesforce's word that a call reached its goal.
func (s *State) succeeded(c call, answer conversation.Answer, now time.Time) {
	if c.life != s.Life || s.Outcome != nil {
		return
	}
	s.heard(answer)
	switch {
	case c.Operation == conversation.End && s.Closing != nil:
		s.over(conversation.Closed, string(c.By), now, s.Closing.At)
	case c.Operation == conversation.End:
		s.over(conversation.Idle, string(c.By), now, c.quietSince)
	case answer.AlreadyOver:
		s.over(conversation.AlreadyOver, "", now, c.quietSince)
	case s.wants(c, now) && c.quietSince.Equal(s.LastActivityAt):
		s.InactiveSince = now
	}
}

// failed takes the failure of a call: Blocked, when it is still wanted. One that
// was recalled fails at its first failure, retryable or not, so it blocks
// nothing.
func (s *State) failed(c call, err error, recalled bool, now time.Time) {
	if c.life != s.Life || s.Outcome != nil {
		return
	}
	answer, ok := refusal(c, err, now)
	if ok {
		s.heard(answer)
	}
	switch {
	case recalled, temporal.IsCanceledError(err), !s.wants(c, now):
	case s.Next != nil:
		s.goOn()
	default:
		s.Blocked = &answer
	}
}

// goOn takes back a close that Salesforce refused, because somebody has written
// since: the session goes on with what would have been its next life.
func (s *State) goOn() {
	next := s.Next
	next.Identity.SessionID = cmp.Or(next.Identity.SessionID, s.Identity.SessionID)
	s.Identity, s.IdentifiedAt, s.Policy = next.Identity, next.IdentifiedAt, next.Policy
	s.LastActivityAt, s.ReceivedAt, s.LastMessage = next.LastActivityAt, next.ReceivedAt, next.LastMessage
	s.Promises = next.Promises
	s.Closing, s.InactiveSince, s.Next = nil, time.Time{}, nil
}

// wants reports whether a call is what is due now.
func (s *State) wants(c call, now time.Time) bool {
	due, isDue := s.due(now)
	return isDue && due.same(c)
}

func (s *State) heard(answer conversation.Answer) {
	s.Answer = &answer
	s.Calls += answer.Attempt
}

// refusal is the answer that an activity's error carries. Without one, the
// error's own kind stands for it.
func refusal(c call, err error, now time.Time) (conversation.Answer, bool) {
	answer := conversation.Answer{Operation: c.Operation, By: c.By, At: now}
	if application, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		answer.Reason, answer.Message = application.Type(), application.Message()
		if application.HasDetails() && application.Details(&answer) == nil {
			answer.Message = application.Message()
			answer.At = now
		}
		return answer, true
	}
	if timeout, ok := errors.AsType[*temporal.TimeoutError](err); ok {
		answer.Reason, answer.Message = activities.ReasonTimeout, timeout.Error()
		return answer, true
	}
	answer.Reason, answer.Message = activities.ReasonUnknown, err.Error()
	return answer, false
}
