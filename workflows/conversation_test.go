package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
)

// The lifecycle: what happens, and which calls it makes.
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
		"quiet: Inactive, then ended": {
			none, func(b *harness) {
				b.expectPhase(599, conversation.Active)
				b.expectPhase(601, conversation.Inactive)
			},
			[]string{"600 Inactivate by System", "4200 End by System"},
			outcome{conversation.Idle, "System", 4200},
		},
		"the end left to Salesforce": {
			policy(func(p *conversation.Policy) { p.EndAfter = new(conversation.Duration(0)) }), func(b *harness) {
				b.expectPhase(99999, conversation.Inactive)
				b.signal(100000, "session-status", conversation.SessionStatus{SessionID: s1, Status: "Ended", EndedByRole: "System"})
			},
			[]string{"600 Inactivate by System"},
			outcome{conversation.EndedInSalesforce, "System", 100000},
		},
		"never made Inactive": {
			policy(func(p *conversation.Policy) { p.InactivateAfter = new(conversation.Duration(0)) }), func(b *harness) {
				b.expectPhase(99999, conversation.Active)
				b.signal(100000, "close", conversation.Close{By: conversation.EndUser})
			},
			[]string{"100000 End by EndUser"},
			outcome{conversation.Closed, "EndUser", 100000},
		},
		"a message moves the deadline": {
			none, func(b *harness) { b.signal(500, "message", conversation.Message{}) },
			[]string{"1100 Inactivate by System", "4700 End by System"},
			outcome{conversation.Idle, "System", 4700},
		},
		"an old one does not": {
			none, func(b *harness) { b.signal(500, "message", conversation.Message{At: at(-100)}) },
			[]string{"600 Inactivate by System", "4200 End by System"},
			outcome{conversation.Idle, "System", 4200},
		},
		"a message while Inactive": {
			none, func(b *harness) {
				b.signal(700, "message", conversation.Message{})
				b.expectPhase(701, conversation.Active)
				b.signal(800, "close", conversation.Close{By: conversation.EndUser})
			},
			[]string{"600 Inactivate by System", "800 End by EndUser"},
			outcome{conversation.Closed, "EndUser", 800},
		},
		"a sender that dies while Inactive": {
			none, func(b *harness) {
				b.signal(1, "message", conversation.Message{Lease: fiveMinutes})
				b.signal(60, "session-status", conversation.SessionStatus{SessionID: s1, Status: "Inactive"})
				b.expectPhase(330, conversation.Inactive)
				b.expectPhase(332, conversation.Active)
			},
			[]string{"901 Inactivate by System", "4501 End by System"},
			outcome{conversation.Idle, "System", 4501},
		},
		"a sender that lives while Inactive": {
			none, func(b *harness) {
				b.signal(1, "message", conversation.Message{Lease: fiveMinutes})
				b.signal(60, "session-status", conversation.SessionStatus{SessionID: s1, Status: "Inactive"})
				b.signal(325, "message", conversation.Message{At: at(1), Lease: conversation.Lease{Holder: fiveMinutes.Holder}})
				b.expectPhase(332, conversation.Inactive)
			},
			[]string{"3660 End by System"},
			outcome{conversation.Idle, "System", 3660},
		},
		"closed by System": {
			none, func(b *harness) { b.signal(20, "close", conversation.Close{}) },
			[]string{"20 End by System"},
			outcome{conversation.Closed, "System", 20},
		},
		"ended by a rep": {
			none, func(b *harness) {
				b.signal(20, "session-status", conversation.SessionStatus{SessionID: s1, Status: "Ended", EndedByRole: "Agent"})
			},
			nil,
			outcome{conversation.EndedInSalesforce, "Agent", 20},
		},
		"Inactivate finds the session over": {
			none, func(b *harness) { b.salesforce(conversation.Inactivate, alreadyOver) },
			[]string{"600 Inactivate by System"},
			outcome{conversation.AlreadyOver, "", 600},
		},
		"a close that is tried again": {
			none, func(b *harness) {
				b.salesforce(conversation.End, busy, busy)
				b.signal(10, "close", conversation.Close{})
			},
			[]string{"10 End by System", "11 End by System", "13 End by System"},
			outcome{conversation.Closed, "System", 13},
		},
		"Blocked, retried": {
			none, func(b *harness) {
				b.salesforce(conversation.End, refused)
				b.signal(10, "close", conversation.Close{By: conversation.EndUser})
				b.expectPhase(20, conversation.Blocked)
				b.signal(30, "retry", conversation.Retry{})
			},
			[]string{"10 End by EndUser", "30 End by EndUser"},
			outcome{conversation.Closed, "EndUser", 30},
		},
		"Blocked, a message goes on": {
			none, func(b *harness) {
				b.salesforce(conversation.Inactivate, refused)
				b.expectPhase(601, conversation.Blocked)
				b.signal(700, "message", conversation.Message{})
				b.expectPhase(701, conversation.Active)
			},
			[]string{"600 Inactivate by System", "1300 Inactivate by System", "4900 End by System"},
			outcome{conversation.Idle, "System", 4900},
		},
		"Blocked, a close goes on": {
			none, func(b *harness) {
				b.salesforce(conversation.Inactivate, refused)
				b.signal(700, "close", conversation.Close{})
			},
			[]string{"600 Inactivate by System", "700 End by System"},
			outcome{conversation.Closed, "System", 700},
		},
		"Blocked, the start corrected": {
			none, func(b *harness) {
				b.salesforce(conversation.End, refused)
				b.signal(10, "close", conversation.Close{})
				corrected := started(s1, 20)
				corrected.AuthorizationContext = "Corrected"
				b.signal(20, "start", corrected)
			},
			[]string{"10 End by System", "20 End by System"},
			outcome{conversation.Closed, "System", 20},
		},
		"Blocked, ended by a rep": {
			none, func(b *harness) {
				b.salesforce(conversation.End, refused)
				b.signal(10, "close", conversation.Close{})
				b.signal(20, "session-status", conversation.SessionStatus{SessionID: s1, Status: "Ended", EndedByRole: "Agent"})
			},
			[]string{"10 End by System"},
			outcome{conversation.EndedInSalesforce, "Agent", 20},
		},
		"a new session takes its place": {
			none, func(b *harness) {
				b.signal(100, "start", started(s2, 100))
				b.signal(200, "close", conversation.Close{SessionID: s1})
				b.signal(300, "close", conversation.Close{SessionID: s2})
			},
			[]string{"300 End by System"},
			outcome{conversation.Closed, "System", 300},
		},
		"a backlog that is delivered late": {
			func(s *conversation.Start) { s.At = at(-2000) }, func(b *harness) {
				b.after(0, func() {
					b.SignalWorkflow("message", conversation.Message{At: at(-1000)})
					b.SignalWorkflow("message", conversation.Message{At: at(-10)})
				})
			},
			[]string{"590 Inactivate by System", "4190 End by System"},
			outcome{conversation.Idle, "System", 4190},
		},
		"a backlog with nothing more to come": {
			func(s *conversation.Start) { s.At = at(-2000) }, func(*harness) {},
			[]string{"1 Inactivate by System", "3601 End by System"},
			outcome{conversation.Idle, "System", 3601},
		},
		"what cannot be read is taken as its name": {
			none, func(b *harness) {
				b.signal(500, "message", []int{1})
				b.signal(1000, "close", map[string]any{"by": 7})
			},
			[]string{"1000 End by System"},
			outcome{conversation.Closed, "System", 1000},
		},
		"and what says nothing": {
			none, func(b *harness) {
				b.signal(500, "message", nil)
				b.signal(700, "start", nil)
				b.signal(701, "session-status", "Ended")
				b.signal(702, "retry", "now!")
				b.signal(1000, "close", nil)
			},
			[]string{"1000 End by System"},
			outcome{conversation.Closed, "System", 1000},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			tt.play(b)
			b.run(tt.start)
			got := b.ended()
			require.Equal(t, tt.calls, b.calls)
			require.Equal(t, tt.want, outcome{got.Why, got.EndedBy, int(got.At.Sub(t0) / time.Second)})
			require.Equal(t, conversation.Ended, b.status().Phase)
		})
	}
}

func TestOutcome(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.End, refused)
	b.signal(10, "close", conversation.Close{By: conversation.EndUser, At: at(9)})
	b.signal(30, "retry", nil)
	b.run()
	require.Equal(t, conversation.Outcome{
		Why: conversation.Closed, EndedBy: "EndUser", At: at(30), EndsEventsUntil: at(9), SessionID: s1, Attempts: 2,
		LastAnswer: &conversation.Answer{Operation: conversation.End, By: conversation.EndUser, Attempt: 1},
	}, b.ended())
	require.Equal(t, []string{"Active", "Blocked", "NO_ACCESS", "Active", "Ended"}, b.phases, "written when they change, and only then")
}

// Nobody helped: the conversation shows as failed, with Salesforce's reason.
func TestBlockedForTooLong(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.Inactivate, refused)
	b.expectPhase(600+7199, conversation.Blocked)
	b.after(700, func() {
		status := b.status()
		require.Equal(t, "NO_ACCESS", status.Blocked.Reason)
		require.Equal(t, at(7800), status.BlockedUntil)
	})
	b.run()
	var failure *temporal.ApplicationError
	require.ErrorAs(t, b.GetWorkflowError(), &failure)
	require.Equal(t, "NO_ACCESS", failure.Type())
	var answer conversation.Answer
	require.NoError(t, failure.Details(&answer))
	require.Equal(t, 403, answer.HTTPStatus)
	require.Equal(t, "r1", answer.RequestID)
	require.Equal(t, 7800*time.Second, b.Now().Sub(t0))
}

func TestStartRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*conversation.Start)
		want   []string
	}{
		"no conversation":   {func(s *conversation.Start) { s.OrgID, s.ConversationIdentifier = "x", "" }, []string{"orgId", "conversationIdentifier"}},
		"impossible policy": {func(s *conversation.Start) { s.Policy.EndAfter = new(conversation.Duration(-1)) }, []string{"policy.endAfter"}},
		"wrong workflow id": {func(s *conversation.Start) { s.ConversationIdentifier = "conv-2" }, []string{org + ":conv-1", org + ":conv-2"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.run(tt.change)
			var failure *temporal.ApplicationError
			require.ErrorAs(t, b.GetWorkflowError(), &failure)
			require.Equal(t, "INVALID_REQUEST", failure.Type())
			require.True(t, failure.NonRetryable())
			for _, want := range tt.want {
				require.ErrorContains(t, failure, want)
			}
			require.NotContains(t, failure.Error(), "+4915112345678")
		})
	}
}

// What is missing and not needed to tell which conversation it is may come
// later.
func TestStartCompletedLater(t *testing.T) {
	b := newHarness(t)
	b.signal(5, "start", started(s1, 5))
	b.signal(10, "close", conversation.Close{})
	b.run(func(s *conversation.Start) {
		*s = conversation.Start{Identity: conversation.Identity{OrgID: org, ConversationIdentifier: "conv-1"}}
	})
	require.Equal(t, s1, b.ended().SessionID)
}

// A remark tells the operator what could not be read, and no more of it than is
// good for the page.
func TestRemark(t *testing.T) {
	b := newHarness(t)
	b.signal(10, "message", map[string]any{"at": string(make([]byte, 5000))})
	b.signal(20, "session-status", nil)
	b.after(15, func() {
		details := b.details()
		require.Contains(t, details, `Remark: signal "message" could not be read`)
		require.Less(t, len(details), 1000)
	})
	b.after(25, func() { require.Contains(t, b.details(), "sessionId is missing") })
	b.signal(30, "close", nil)
	b.run()
	b.ended()
}
