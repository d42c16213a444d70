package workflows

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
)

// The events of a whole conversation, the calls it makes, and its outcome.
func TestLifecycle(t *testing.T) {
	type outcome struct {
		why conversation.Why
		by  string
		at  int
	}
	policy := func(change func(*conversation.Policy)) func(*conversation.Start) {
		return func(s *conversation.Start) { change(&s.Policy) }
	}
	none := func(*conversation.Start) {}

	for name, tt := range map[string]struct {
		start func(*conversation.Start)
		play  func(*harness)
		calls []string
		want  outcome
	}{
		"idle: Inactive, then ended": {
			none, func(h *harness) {
				h.expectPhase(599, conversation.Active)
				h.expectPhase(601, conversation.Inactive)
			},
			[]string{"600 Inactivate by System", "4200 End by System"},
			outcome{conversation.Idle, "System", 4200},
		},
		"Salesforce ends it": {
			policy(func(p *conversation.Policy) { p.EndAfter = new(conversation.Duration(0)) }), func(h *harness) {
				h.expectPhase(99999, conversation.Inactive)
				h.signal(100000, "session-status", conversation.SessionStatus{
					SessionID: s1, Status: "Ended", EndedByRole: "System",
				})
			},
			[]string{"600 Inactivate by System"},
			outcome{conversation.EndedInSalesforce, "System", 100000},
		},
		"never made Inactive": {
			policy(func(p *conversation.Policy) { p.InactivateAfter = new(conversation.Duration(0)) }), func(h *harness) {
				h.expectPhase(99999, conversation.Active)
				h.signal(100000, "close", conversation.Close{By: conversation.EndUser})
			},
			[]string{"100000 End by EndUser"},
			outcome{conversation.Closed, "EndUser", 100000},
		},
		"a message moves the deadline": {
			none, func(h *harness) { h.signal(500, "message", conversation.Message{}) },
			[]string{"1100 Inactivate by System", "4700 End by System"},
			outcome{conversation.Idle, "System", 4700},
		},
		"an old message does not move it": {
			none, func(h *harness) { h.signal(500, "message", conversation.Message{At: at(-100)}) },
			[]string{"600 Inactivate by System", "4200 End by System"},
			outcome{conversation.Idle, "System", 4200},
		},
		"a message while Inactive": {
			none, func(h *harness) {
				h.signal(700, "message", conversation.Message{})
				h.expectPhase(701, conversation.Active)
				h.signal(800, "close", conversation.Close{By: conversation.EndUser})
			},
			[]string{"600 Inactivate by System", "800 End by EndUser"},
			outcome{conversation.Closed, "EndUser", 800},
		},
		"an expired lease while Inactive": {
			none, func(h *harness) {
				h.signal(1, "message", conversation.Message{Lease: fiveMinutes})
				h.signal(60, "session-status", conversation.SessionStatus{SessionID: s1, Status: "Inactive"})
				h.expectPhase(330, conversation.Inactive)
				h.expectPhase(332, conversation.Active)
			},
			[]string{"901 Inactivate by System", "4501 End by System"},
			outcome{conversation.Idle, "System", 4501},
		},
		"a released lease while Inactive": {
			none, func(h *harness) {
				h.signal(1, "message", conversation.Message{Lease: fiveMinutes})
				h.signal(60, "session-status", conversation.SessionStatus{SessionID: s1, Status: "Inactive"})
				h.signal(325, "message", conversation.Message{At: at(1), Lease: conversation.Lease{Holder: fiveMinutes.Holder}})
				h.expectPhase(332, conversation.Inactive)
			},
			[]string{"3660 End by System"},
			outcome{conversation.Idle, "System", 3660},
		},
		"closed by System": {
			none, func(h *harness) { h.signal(20, "close", conversation.Close{}) },
			[]string{"20 End by System"},
			outcome{conversation.Closed, "System", 20},
		},
		"ended by a rep": {
			none, func(h *harness) {
				h.signal(20, "session-status", conversation.SessionStatus{SessionID: s1, Status: "Ended", EndedByRole: "Agent"})
			},
			nil,
			outcome{conversation.EndedInSalesforce, "Agent", 20},
		},
		"Inactivate finds that the session has ended": {
			none, func(h *harness) { h.salesforce(conversation.Inactivate, alreadyOver) },
			[]string{"600 Inactivate by System"},
			outcome{conversation.AlreadyOver, "", 600},
		},
		"a close that is retried": {
			none, func(h *harness) {
				h.salesforce(conversation.End, busy, busy)
				h.signal(10, "close", conversation.Close{})
			},
			[]string{"10 End by System", "11 End by System", "13 End by System"},
			outcome{conversation.Closed, "System", 13},
		},
		"Blocked, retried": {
			none, func(h *harness) {
				h.salesforce(conversation.End, refused)
				h.signal(10, "close", conversation.Close{By: conversation.EndUser})
				h.expectPhase(20, conversation.Blocked)
				h.signal(30, "retry", conversation.Retry{})
			},
			[]string{"10 End by EndUser", "30 End by EndUser"},
			outcome{conversation.Closed, "EndUser", 30},
		},
		"Blocked, then a message": {
			none, func(h *harness) {
				h.salesforce(conversation.Inactivate, refused)
				h.expectPhase(601, conversation.Blocked)
				h.signal(700, "message", conversation.Message{})
				h.expectPhase(701, conversation.Active)
			},
			[]string{"600 Inactivate by System", "1300 Inactivate by System", "4900 End by System"},
			outcome{conversation.Idle, "System", 4900},
		},
		"Blocked, then a close": {
			none, func(h *harness) {
				h.salesforce(conversation.Inactivate, refused)
				h.signal(700, "close", conversation.Close{})
			},
			[]string{"600 Inactivate by System", "700 End by System"},
			outcome{conversation.Closed, "System", 700},
		},
		"Blocked, then a corrected start": {
			none, func(h *harness) {
				h.salesforce(conversation.End, refused)
				h.signal(10, "close", conversation.Close{})
				corrected := started(s1, 20)
				corrected.AuthorizationContext = "Corrected"
				h.signal(20, "start", corrected)
			},
			[]string{"10 End by System", "20 End by System"},
			outcome{conversation.Closed, "System", 20},
		},
		"Blocked, ended by a rep": {
			none, func(h *harness) {
				h.salesforce(conversation.End, refused)
				h.signal(10, "close", conversation.Close{})
				h.signal(20, "session-status", conversation.SessionStatus{SessionID: s1, Status: "Ended", EndedByRole: "Agent"})
			},
			[]string{"10 End by System"},
			outcome{conversation.EndedInSalesforce, "Agent", 20},
		},
		"a new session replaces it": {
			none, func(h *harness) {
				h.signal(100, "start", started(s2, 100))
				h.signal(200, "close", conversation.Close{SessionID: s1})
				h.signal(300, "close", conversation.Close{SessionID: s2})
			},
			[]string{"300 End by System"},
			outcome{conversation.Closed, "System", 300},
		},
		"a backlog that is delivered late": {
			func(s *conversation.Start) { s.At = at(-2000) }, func(h *harness) {
				h.after(0, func() {
					h.SignalWorkflow("message", conversation.Message{At: at(-1000)})
					h.SignalWorkflow("message", conversation.Message{At: at(-10)})
				})
			},
			[]string{"590 Inactivate by System", "4190 End by System"},
			outcome{conversation.Idle, "System", 4190},
		},
		"a late start without later events": {
			func(s *conversation.Start) { s.At = at(-2000) }, func(*harness) {},
			[]string{"600 Inactivate by System", "4200 End by System"},
			outcome{conversation.Idle, "System", 4200},
		},
		"a payload with wrong types counts as of now": {
			none, func(h *harness) {
				h.signal(500, "message", []int{1})
				h.signal(1000, "close", map[string]any{"by": 7})
			},
			[]string{"1000 End by System"},
			outcome{conversation.Closed, "System", 1000},
		},
		"a message that cannot be read counts, anything else does not": {
			none, func(h *harness) {
				h.signal(500, "message", nil)
				h.signal(700, "start", nil)
				h.signal(701, "session-status", "Ended")
				h.signal(702, "retry", "now!")
				h.signal(703, "close", nil)
				h.signal(704, "close", []byte{0xff})
				h.signal(705, "close", map[string]any{"sessionId": 7})
				h.signal(706, "call-failing", "now!")
				h.signal(707, "close", map[string]any{"SessionId": s2, "by": "EndUser"})
				h.signal(708, "close", raw("json/plain", []byte(`{"sessionId":"`+s1+`","sessionId":"`+s2+`"}`)))
				h.signal(709, "close", raw("json/plain", []byte(`null`)))
			},
			[]string{"1100 Inactivate by System", "4700 End by System"},
			outcome{conversation.Idle, "System", 4700},
		},
		"a close with a field that cannot be read counts as of now": {
			none, func(h *harness) {
				h.signal(500, "close", map[string]any{"by": "EndUser", "sessionId": s2, "at": "+24:00"})
				h.signal(1000, "close", map[string]any{"by": "EndUser", "sessionId": s2, "at": "2026-03-01T09:00:00+24:00"})
			},
			[]string{"500 End by EndUser"},
			outcome{conversation.Closed, "EndUser", 500},
		},
		"a close by an unknown party is by System": {
			none, func(h *harness) { h.signal(500, "close", map[string]any{"by": "Agent"}) },
			[]string{"500 End by System"},
			outcome{conversation.Closed, "System", 500},
		},
		"a close of an earlier session with a field that cannot be read changes nothing": {
			none, func(h *harness) {
				h.signal(10, "start", started(s2, 10))
				h.signal(500, "close", map[string]any{"by": "EndUser", "sessionId": s1, "at": 5})
			},
			[]string{"610 Inactivate by System", "4210 End by System"},
			outcome{conversation.Idle, "System", 4210},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			tt.play(h)
			h.run(tt.start)
			got := h.ended()
			require.Equal(t, tt.calls, h.calls)
			require.Equal(t, tt.want, outcome{got.Why, got.EndedBy, int(got.At.Sub(t0) / time.Second)})
			require.Equal(t, conversation.Ended, h.status().Phase)
		})
	}
}

func TestOutcome(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.End, refused)
	h.signal(10, "close", conversation.Close{By: conversation.EndUser, At: at(9)})
	h.signal(30, "retry", nil)
	h.run()
	require.Equal(t, conversation.Outcome{
		Why: conversation.Closed, EndedBy: "EndUser", At: at(30), EndsEventsUntil: at(9), SessionID: s1, StartedAt: at(0), Attempts: 2,
		LastAnswer: &conversation.Answer{Operation: conversation.End, By: conversation.EndUser, Attempt: 1},
		Policy:     started(s1, 0).Policy.WithDefaults(),
	}, h.ended())
	require.Equal(
		t,
		[]string{"Active", "Blocked", "NO_ACCESS", "Active", "Ended"},
		h.phases,
		"written only when they change",
	)
}

// No operator helped: the workflow fails with Salesforce's reason.
func TestBlockedForTooLong(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.Inactivate, refused)
	h.expectPhase(600+7199, conversation.Blocked)
	h.after(700, func() {
		status := h.status()
		require.Equal(t, "NO_ACCESS", status.Blocked.Reason)
		require.Equal(t, at(7800), status.BlockedUntil)
	})
	h.run()
	var failure *temporal.ApplicationError
	require.ErrorAs(t, h.GetWorkflowError(), &failure)
	require.Equal(t, "NO_ACCESS", failure.Type())
	var answer conversation.Answer
	require.NoError(t, failure.Details(&answer))
	require.Equal(t, 403, answer.HTTPStatus)
	require.Equal(t, "r1", answer.RequestID)
	require.Equal(t, 7800*time.Second, h.Now().Sub(t0))
}

// The server ends a call that is retried for too long. Nothing else logs that.
func TestCallThatIsGivenUpIsLogged(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.End, times(100_000, busy)...)
	h.signal(10, "close", conversation.Close{})
	h.run()
	var failure *temporal.ApplicationError
	require.ErrorAs(t, h.GetWorkflowError(), &failure)
	require.Equal(t, "INTERNAL_ERROR", failure.Type())
	require.Equal(t, 1, strings.Count(strings.Join(h.problems.lines, "\n"), "Call given up, an operator is needed"))

	h = newHarness(t)
	h.salesforce(conversation.Inactivate, refused)
	h.run()
	require.NotContains(t, strings.Join(h.problems.lines, "\n"), "Call given up", "the activity has logged it")
}

func TestInvalidStartFails(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*conversation.Start)
		want   []string
	}{
		"no conversation": {
			func(s *conversation.Start) { s.OrgID, s.ConversationIdentifier = "x", "" },
			[]string{"orgId", "conversationIdentifier"},
		},
		"impossible policy": {
			func(s *conversation.Start) { s.Policy.EndAfter = new(conversation.Duration(-1)) },
			[]string{"policy.endAfter"},
		},
		"wrong workflow id": {
			func(s *conversation.Start) { s.ConversationIdentifier = "conv-2" },
			[]string{"workflow id"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.run(tt.change)
			var failure *temporal.ApplicationError
			require.ErrorAs(t, h.GetWorkflowError(), &failure)
			require.Equal(t, "INVALID_REQUEST", failure.Type())
			require.True(t, failure.NonRetryable())
			for _, want := range tt.want {
				require.ErrorContains(t, failure, want)
			}
			require.NotContains(t, failure.Error(), "+4915112345678")
		})
	}
}

// A later start may complete the fields that do not name the conversation.
func TestStartCompletedLater(t *testing.T) {
	h := newHarness(t)
	h.signal(5, "start", started(s1, 5))
	h.signal(10, "close", conversation.Close{})
	h.run(func(s *conversation.Start) {
		*s = conversation.Start{Identity: conversation.Identity{OrgID: org, ConversationIdentifier: "conv-1"}}
	})
	require.Equal(t, s1, h.ended().SessionID)
}

// The details say which payload could not be read, without its content.
func TestUnreadablePayloadIsShown(t *testing.T) {
	h := newHarness(t)
	h.signal(10, "message", map[string]any{"at": string(make([]byte, 5000))})
	h.signal(20, "session-status", nil)
	h.after(15, func() {
		details := h.details()
		require.Contains(t, details, "Last unreadable payload: signal message cannot be read: invalid: at must be a time in RFC 3339")
		require.Less(t, len(details), 1000)
	})
	h.after(25, func() { require.Contains(t, h.details(), "signal session-status cannot be read: it is not JSON") })
	h.signal(30, "close", conversation.Close{})
	h.run()
	h.ended()
}
