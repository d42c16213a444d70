package workflows

import (
	"cmp"
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
)

// callSucceeded applies Salesforce's answer that a call reached its goal.
func (s *State) callSucceeded(c call, answer conversation.Answer, now time.Time) {
	if c.generation != s.Generation || s.Outcome != nil {
		return
	}
	s.recordAnswer(answer)
	switch {
	case c.Operation == conversation.End && s.Closing != nil:
		s.end(conversation.Closed, string(c.By), now, s.Closing.At)
	case c.Operation == conversation.End:
		s.end(conversation.Idle, string(c.By), now, c.lastActivityAt)
	case answer.AlreadyOver:
		s.end(conversation.AlreadyOver, "", now, c.lastActivityAt)
	case s.isStillDue(c, now) && c.lastActivityAt.Equal(s.LastActivityAt):
		s.InactiveSince = now
	}
}

// callFailed applies the failure of a call: the conversation becomes Blocked if
// the call is still due. A call whose cancellation was requested is not retried:
// its first failure ends it. Such a failure must not block the conversation.
func (s *State) callFailed(c call, err error, cancelRequested bool, now time.Time) {
	if c.generation != s.Generation || s.Outcome != nil {
		return
	}
	answer, ok := answerFrom(c, err, now)
	if ok {
		s.recordAnswer(answer)
	}
	switch {
	case cancelRequested, temporal.IsCanceledError(err), !s.isStillDue(c, now):
	case s.Next != nil:
		s.resumeAfterRefusedClose()
	default:
		s.Blocked = &answer
	}
}

// resumeAfterRefusedClose drops a close that Salesforce refused, because a message
// was written after it. The session continues with what was collected for the
// next one.
func (s *State) resumeAfterRefusedClose() {
	next := s.Next
	next.Identity.SessionID = cmp.Or(next.Identity.SessionID, s.Identity.SessionID)
	s.Identity, s.IdentifiedAt, s.Policy = next.Identity, next.IdentifiedAt, next.Policy
	s.LastActivityAt, s.ReceivedAt, s.LastMessage = next.LastActivityAt, next.ReceivedAt, next.LastMessage
	s.Leases = next.Leases
	s.Closing, s.InactiveSince, s.Next = nil, time.Time{}, nil
}

func (s *State) isStillDue(c call, now time.Time) bool {
	due := s.dueCall(now)
	return due != nil && due.same(c)
}

func (s *State) recordAnswer(answer conversation.Answer) {
	s.LastAnswer = &answer
	s.Attempts += answer.Attempt
}

// answerFrom returns the answer in an activity's error. If there is none, it
// makes one from the kind of the error. The second result is false if the error
// did not come from an attempt.
func answerFrom(c call, err error, now time.Time) (conversation.Answer, bool) {
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
