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
// An Inactivate counts as of its answer. While no worker runs, the workflow gets that much
// later, and a message after the answer makes the session Active again. The time until the
// End begins later, when the workflow knows: events may be on their way.
func (s *State) callSucceeded(c call, answer conversation.Answer, now time.Time) {
	if !s.countAnswer(c, answer) {
		return
	}
	switch {
	case c.Operation == conversation.End && s.Closing != nil:
		s.end(conversation.Closed, string(c.By), s.Closing.At, now)
	case c.Operation == conversation.End:
		s.end(conversation.Idle, string(c.By), c.lastActivityAt, now)
	case answer.AlreadyOver:
		s.end(conversation.AlreadyOver, "", c.lastActivityAt, now)
	case !s.isStillDue(c, now) || !c.lastActivityAt.Equal(s.LastActivityAt):
	case answer.NotActive && !s.canEndLater():
		s.end(conversation.AlreadyOver, "", c.lastActivityAt, now)
	default:
		s.InactiveSince = now
		s.InactivatedAt = latest(s.InactivateSince, conversation.EventTime(answer.At, now))
	}
}

// canEndLater reports whether a session that may be Inactive or over can be ended
// later without harm. Without its id, a late End could hit a newer session.
func (s *State) canEndLater() bool {
	return s.Identity.SessionID != "" && *s.Policy.EndAfter != 0
}

// callFailed applies the failure of a call: the conversation becomes Blocked if
// the call is still due. A call whose cancellation was requested is not retried:
// its first failure ends it. Such a failure must not block the conversation.
func (s *State) callFailed(c call, err error, cancelRequested bool, now time.Time) {
	answer, ok := s.answerFrom(c, err, now)
	if ok && !s.countAnswer(c, answer) {
		return
	}
	switch {
	// A wait has sent nothing. It ends a call only if the call was cancelled, or was scheduled
	// by an earlier version, which limited the time of all attempts. Then it is made again.
	case activities.IsWait(err):
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
	if s.HasStart && conversation.SameSession(next.Identity.SessionID, s.Identity.SessionID) {
		next.Identity, next.HasStart = s.Identity, true // it is the same session after all
	}
	s.Identity, s.IdentifiedAt, s.Policy = next.Identity, next.IdentifiedAt, next.Policy
	s.HasStart = next.HasStart
	s.LastActivityAt, s.ReceivedAt, s.LastMessage = next.LastActivityAt, next.ReceivedAt, next.LastMessage
	s.Leases = next.Leases
	s.Closing, s.InactiveSince, s.Next = nil, time.Time{}, nil
}

func (s *State) isStillDue(c call, now time.Time) bool {
	due := s.dueCall(now)
	return due != nil && due.same(c)
}

// countAnswer counts the attempts of a call for the session that it was made for,
// and reports whether that session is still open.
func (s *State) countAnswer(c call, answer conversation.Answer) bool {
	if c.generation != s.Generation {
		if s.Replaced != nil && s.Replaced.Generation == c.generation {
			s.Replaced.Attempts += answer.Attempt
		}
		return false
	}
	s.LastAnswer = &answer
	s.Attempts += answer.Attempt
	if s.Outcome != nil {
		s.Outcome.Attempts, s.Outcome.LastAnswer = s.Attempts, s.LastAnswer
	}
	return s.Outcome == nil
}

// answerFrom returns the answer in an activity's error. If there is none, it
// makes one from the kind of the error. The second result is false if the error
// did not come from an attempt that has sent something. A call that was cancelled
// between two attempts, or while it waited for its org, has no answer: then the
// worker's last report of its failures is the best that is known.
func (s *State) answerFrom(c call, err error, now time.Time) (conversation.Answer, bool) {
	answer := conversation.Answer{Operation: c.Operation, By: c.By, At: now}
	if application, ok := errors.AsType[*temporal.ApplicationError](err); ok && !activities.IsWait(err) {
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
	if s.Failing != nil {
		answer = s.Failing.Answer
		answer.Attempt = s.Failing.Attempts
		return answer, true
	}
	answer.Reason, answer.Message = activities.ReasonUnknown, err.Error()
	return answer, false
}
