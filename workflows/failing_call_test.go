package workflows

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
)

func notActive() (conversation.Answer, error) { return conversation.Answer{NotActive: true}, nil }

// failing is the worker's report of a call that keeps failing.
func failing(op conversation.Operation, since int) conversation.CallFailing {
	return conversation.CallFailing{
		ActivityID: "5", Since: at(since), Attempts: 3, Answer: conversation.Answer{
			Operation: op, By: conversation.System, Reason: "HTTP_500", HTTPStatus: 500, RequestID: "r3", Attempt: 3, At: at(since),
		},
	}
}

// There is no active conversation for an Inactivate: the session may be Inactive
// already, so it is ended later. Where that is impossible, the conversation is over.
func TestNoActiveConversation(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*conversation.Start)
		calls  []string
		why    conversation.Why
	}{
		"End later": {
			func(*conversation.Start) {},
			[]string{"600 Inactivate by System", "4200 End by System"},
			conversation.Idle,
		},
		"no session id": {
			func(s *conversation.Start) { s.SessionID = "" },
			[]string{"600 Inactivate by System"},
			conversation.AlreadyOver,
		},
		"Salesforce ends it": {
			func(s *conversation.Start) { s.Policy.EndAfter = new(conversation.Duration(0)) },
			[]string{"600 Inactivate by System"},
			conversation.AlreadyOver,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.salesforce(conversation.Inactivate, notActive)
			h.run(tt.change)
			require.Equal(t, tt.calls, h.calls)
			require.Equal(t, tt.why, h.ended().Why)
		})
	}
}

// A call that keeps failing is shown, and found by a list filter. It is not Blocked.
func TestFailingCallIsShown(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.End, times(9, busy)...)
	h.signal(10, "close", conversation.Close{By: conversation.EndUser, SessionID: s1, At: at(9)})
	h.after(12, func() {
		status := h.status()
		require.Nil(t, status.Failing)
		require.Equal(t, &conversation.Closing{By: conversation.EndUser, SessionID: s1, At: at(9)}, status.Closing)
		require.Zero(t, status.InactivateAt, "it will not come true")
		require.Contains(t, h.details(), "**Active.** Closing since 2026-03-01T09:00:09Z, by EndUser.")
		require.Contains(t, h.details(), "End by EndUser is in flight")
	})
	h.signal(13, "call-failing", failing(conversation.End, 10))
	h.after(14, func() {
		require.Equal(t, 3, h.status().Failing.Attempts)
		require.Contains(t, h.details(), "End keeps failing since 2026-03-01T09:00:10Z: End by System: `HTTP_500`")
	})
	h.run()
	require.Equal(t, []string{"Active", "HTTP_500", "Ended"}, h.phases)
	require.Nil(t, h.status().Failing, "it succeeded")
	require.Nil(t, h.status().Closing)
	require.Len(t, h.calls, 10)
}

// A report that arrives when no call is in flight changes nothing.
func TestReportOfNoCallChangesNothing(t *testing.T) {
	h := newHarness(t)
	h.signal(5, "call-failing", failing(conversation.Inactivate, 1))
	h.after(6, func() { require.Nil(t, h.status().Failing) })
	h.signal(10, "close", conversation.Close{})
	h.run()
	require.Equal(t, []string{"Active", "Ended"}, h.phases)
}

// A rep ends the session while a call is under way: the outcome counts its attempts.
func TestAttemptsOfACallUnderWay(t *testing.T) {
	t.Run("its last attempt is answered", func(t *testing.T) {
		for name, answered := range map[string]func(*State, call){
			"success": func(s *State, c call) { s.callSucceeded(c, conversation.Answer{Attempt: 4}, at(610)) },
			"failure": func(s *State, c call) {
				err := temporal.NewApplicationError("busy", "INTERNAL_ERROR", conversation.Answer{Attempt: 4})
				s.callFailed(c, err, true, at(610))
			},
		} {
			s := active(s1)
			c := *s.step(at(600)).due
			reported("Ended", s1, 605).apply(s, at(605))
			answered(s, c)
			require.Equal(t, 4, s.Outcome.Attempts, name)
			require.Equal(t, 4, s.Outcome.LastAnswer.Attempt, name)
			require.Equal(t, conversation.EndedInSalesforce, s.Outcome.Why, name)
		}
	})
	t.Run("it waits for its next attempt", func(t *testing.T) {
		h := newHarness(t)
		h.salesforce(conversation.Inactivate, times(9, busy)...)
		h.signal(604, "call-failing", failing(conversation.Inactivate, 600))
		closed := h.closeAndWait(605, conversation.Close{})
		h.signal(605, "session-status", conversation.SessionStatus{SessionID: s1, Status: conversation.StatusEnded})
		h.run()
		require.Equal(t, 3, h.ended().Attempts)
		require.Equal(t, 3, closed.outcome.Attempts, "who waits for a close gets them too")
	})
}

// A newer session replaces one that is being closed: a caller that waits learns which session it
// was, and how many attempts were made.
func TestSupersededCloseSaysWhichSession(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.End, times(9, busy)...)
	closed := h.closeAndWait(10, conversation.Close{SessionID: s1, At: at(10)})
	h.signal(14, "call-failing", failing(conversation.End, 10))
	h.signal(15, "start", started(s2, 15))
	h.signal(100, "close", conversation.Close{})
	h.run()
	require.Equal(t, conversation.NewSession, closed.outcome.Why)
	require.Equal(t, s1, closed.outcome.SessionID)
	require.Equal(t, 3, closed.outcome.Attempts)
}

// A close of a session that was replaced before it arrived gets that session's outcome,
// also if the current session has had a call.
func TestCloseOfAReplacedSession(t *testing.T) {
	h := newHarness(t)
	h.signal(5, "start", started(s2, 5))
	closed := h.closeAndWait(700, conversation.Close{At: at(2)})
	h.signal(800, "close", conversation.Close{SessionID: s2, At: at(800)})
	h.run()
	require.Equal(t, []string{"605 Inactivate by System", "800 End by System"}, h.calls)
	require.NoError(t, closed.err)
	require.Equal(t, conversation.NewSession, closed.outcome.Why)
}
