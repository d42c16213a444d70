package workflows

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/conversation"
)

// A message while Inactivate is tried again and again recalls it.
func TestMessageRecallsInactivate(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.Inactivate, times(5, busy)...)
	b.signal(605, "message", conversation.Message{})
	b.signal(900, "close", conversation.Close{})
	b.run()
	require.Equal(t, []string{
		"600 Inactivate by System", "601 Inactivate by System", "603 Inactivate by System",
		"900 End by System",
	}, b.calls)
	require.Equal(t, conversation.Closed, b.ended().Why)
}

// A message that is older than what is known recalls nothing.
func TestOldMessageRecallsNothing(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.Inactivate, times(3, busy)...)
	b.signal(605, "message", conversation.Message{At: at(-5)})
	b.signal(606, "message", conversation.Message{At: at(0), SessionID: s2})
	b.signal(900, "close", conversation.Close{})
	b.run()
	require.Equal(t, []string{
		"600 Inactivate by System", "601 Inactivate by System", "603 Inactivate by System",
		"607 Inactivate by System", "900 End by System",
	}, b.calls)
}

// A close while Inactivate is tried again recalls it and Ends: never both at
// once, so no Inactivate comes after the End.
func TestCloseRecallsInactivate(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.Inactivate, times(9, busy)...)
	b.salesforce(conversation.End, busy, busy)
	b.signal(605, "close", conversation.Close{By: conversation.EndUser})
	b.run()
	require.Equal(t, []string{
		"600 Inactivate by System", "601 Inactivate by System", "603 Inactivate by System",
		"605 End by EndUser", "606 End by EndUser", "608 End by EndUser",
	}, b.calls)
	require.Equal(t, conversation.Closed, b.ended().Why)
}

// An End that was to come for quiet is recalled by a message, too.
func TestMessageRecallsIdleEnd(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.End, times(3, busy)...)
	b.signal(4202, "message", conversation.Message{})
	b.expectPhase(4203, conversation.Active)
	b.signal(4300, "close", conversation.Close{})
	b.salesforce(conversation.End, busy, busy)
	b.run()
	require.Equal(t, []string{"600 Inactivate by System", "4200 End by System", "4201 End by System", "4300 End by System"}, b.calls)
}

// A new session while the old one is being ended: the old one is over.
func TestNewSessionRecallsEnd(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.End, times(9, busy)...)
	caller := b.ask(10, conversation.Close{By: conversation.EndUser})
	b.signal(12, "start", started(s2, 12))
	b.after(100, func() {
		require.Equal(t, conversation.NewSession, caller.outcome.Why)
		b.salesforce(conversation.End)
		require.Equal(t, s2, b.status().SessionID)
	})
	b.signal(200, "close", conversation.Close{SessionID: s2})
	b.run()
	require.Equal(t, []string{"10 End by EndUser", "11 End by EndUser", "200 End by System"}, b.calls)
	require.Equal(t, s2, b.ended().SessionID)
}

// Salesforce says it ended while we are telling it so.
func TestEndedInSalesforceRecallsEnd(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.End, times(9, busy)...)
	caller := b.ask(10, conversation.Close{})
	b.signal(12, "session-status", conversation.SessionStatus{SessionID: s1, Status: "Ended", EndedByRole: "Agent"})
	b.run()
	require.Equal(t, []string{"10 End by System", "11 End by System"}, b.calls)
	require.Equal(t, conversation.EndedInSalesforce, b.ended().Why)
	require.Equal(t, conversation.EndedInSalesforce, caller.outcome.Why)
}

func TestUpdateClose(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.End, refused, refused, busy)
	invalid := b.ask(1, conversation.Close{By: "Agent"})
	first := b.ask(10, conversation.Close{By: conversation.EndUser})
	again := b.ask(20, conversation.Close{})
	b.after(30, func() {
		require.False(t, invalid.accepted)
		require.ErrorContains(t, invalid.err, "by must be EndUser or System")
		for _, caller := range []*asked{first, again} {
			var blocked *temporal.ApplicationError
			require.ErrorAs(t, caller.err, &blocked)
			require.Equal(t, "NO_ACCESS", blocked.Type())
		}
		require.Equal(t, conversation.Blocked, b.status().Phase, "the close still stands")
	})
	last, beside := b.ask(40, conversation.Close{}), b.ask(40, conversation.Close{By: conversation.EndUser})
	b.run()
	outcome := b.ended()
	require.Equal(t, []string{"10 End by EndUser", "20 End by EndUser", "40 End by EndUser", "41 End by EndUser"}, b.calls)
	require.Equal(t, &outcome, last.outcome)
	require.Equal(t, &outcome, beside.outcome)
}

func TestUpdateCloseOfAnEarlierSession(t *testing.T) {
	b := newHarness(t)
	b.signal(10, "start", started(s2, 10))
	late := b.ask(20, conversation.Close{SessionID: s1})
	unknown := b.ask(21, conversation.Close{SessionID: s3, At: at(5)})
	b.after(30, func() {
		require.ErrorContains(t, late.err, "over already")
		require.Equal(t, conversation.NewSession, unknown.outcome.Why)
		require.Equal(t, conversation.Active, b.status().Phase)
	})
	b.signal(40, "close", nil)
	b.run()
	require.Equal(t, []string{"40 End by System"}, b.calls)
}

// Somebody wrote while the close was tried; then it is refused. The session
// goes on, and who closed it is told so.
func TestRefusedCloseIsTakenBack(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.End, busy, busy, refused)
	caller := b.ask(10, conversation.Close{})
	b.signal(12, "message", conversation.Message{})
	b.after(20, func() {
		var refusal *temporal.ApplicationError
		require.ErrorAs(t, caller.err, &refusal)
		require.Equal(t, "NO_ACCESS", refusal.Type())
		status := b.status()
		require.Equal(t, conversation.Active, status.Phase)
		require.Equal(t, at(612), status.InactivateAt)
		require.Equal(t, s1, status.SessionID)
	})
	b.run()
	require.Equal(t, []string{
		"10 End by System", "11 End by System", "13 End by System",
		"612 Inactivate by System", "4212 End by System",
	}, b.calls)
}

// A message after the end begins the next life, with everything that arrived.
func TestNextLife(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.End, busy)
	b.justBefore(10, conversation.Message{At: at(9)})
	b.justBefore(10, conversation.Message{At: at(7)})
	b.signal(10, "close", conversation.Close{SessionID: s1, At: at(8)})
	b.run()
	require.Equal(t, []string{"10 End by System", "11 End by System"}, b.calls)
	start, state := b.continued()
	require.Nil(t, state.Outcome)
	require.Empty(t, start.SessionID, "which session it is will be said")
	require.Equal(t, []string{s1}, state.Past)
	require.Equal(t, at(9), state.LastActivityAt)
	require.Equal(t, []string{"Active", "Ended"}, b.phases)

	next := newHarness(t)
	next.SetStartTime(at(11))
	next.signal(100, "start", started(s2, 50))
	next.ExecuteWorkflow(conversation.WorkflowType, start, state)
	require.Equal(t, conversation.Idle, next.ended().Why)
	require.Equal(t, s2, next.ended().SessionID)
}

// A call in the air and a message: at the end nothing that arrived in the same
// task is lost.
func TestMessageInTheTaskOfTheEnd(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.End, func() (conversation.Answer, error) {
		b.SignalWorkflowSkippingWorkflowTask("message", conversation.Message{At: at(11)})
		return success()
	})
	b.after(12, func() { b.SignalWorkflow("close", conversation.Close{At: at(10)}) })
	b.run()
	_, state := b.continued()
	require.Equal(t, at(11), state.LastActivityAt)
}

// Cancelling stops without a call.
func TestCancel(t *testing.T) {
	for name, tt := range map[string]struct {
		policy func(*conversation.Policy)
		play   func(*harness)
		calls  []string
	}{
		"while Active":   {nil, func(b *harness) { b.after(10, b.CancelWorkflow) }, nil},
		"while Inactive": {nil, func(b *harness) { b.after(700, b.CancelWorkflow) }, []string{"600 Inactivate by System"}},
		"with a close in the same task": {nil, func(b *harness) {
			b.after(10, func() {
				b.SignalWorkflowSkippingWorkflowTask("close", conversation.Close{})
				b.CancelWorkflow()
			})
		}, nil},
		"during a call": {nil, func(b *harness) {
			b.salesforce(conversation.End, times(9, busy)...)
			b.signal(10, "close", conversation.Close{})
			b.after(12, b.CancelWorkflow)
		}, []string{"10 End by System", "11 End by System"}},
		"while Blocked": {nil, func(b *harness) {
			b.salesforce(conversation.Inactivate, refused)
			b.after(700, b.CancelWorkflow)
		}, []string{"600 Inactivate by System"}},
		"asked to End": {func(p *conversation.Policy) { p.EndOnCancel = true }, func(b *harness) {
			b.salesforce(conversation.End, busy)
			b.after(10, b.CancelWorkflow)
		}, []string{"10 End by System", "11 End by System"}},
		"asked to End, with a full history": {func(p *conversation.Policy) { p.EndOnCancel = true }, func(b *harness) {
			b.salesforce(conversation.Inactivate, times(9, busy)...)
			b.after(602, func() {
				b.SetContinueAsNewSuggested(true)
				b.CancelWorkflow()
			})
		}, []string{"600 Inactivate by System", "601 Inactivate by System", "602 End by System"}},
		"asked to End while Blocked": {func(p *conversation.Policy) { p.EndOnCancel = true }, func(b *harness) {
			b.salesforce(conversation.End, refused)
			b.signal(10, "close", conversation.Close{By: conversation.EndUser})
			b.after(20, b.CancelWorkflow)
		}, []string{"10 End by EndUser", "20 End by EndUser"}},
		"asked to End, but ended by a rep in the same task": {func(p *conversation.Policy) { p.EndOnCancel = true }, func(b *harness) {
			b.after(10, func() {
				b.SignalWorkflowSkippingWorkflowTask("session-status", conversation.SessionStatus{SessionID: s1, Status: "Ended"})
				b.CancelWorkflow()
			})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			tt.play(b)
			b.run(func(s *conversation.Start) {
				if tt.policy != nil {
					tt.policy(&s.Policy)
				}
			})
			require.True(t, temporal.IsCanceledError(b.GetWorkflowError()), "%v", b.GetWorkflowError())
			require.Equal(t, tt.calls, b.calls)
		})
	}
}

// A caller that waits is not left alone by a cancel.
func TestCancelAnswersCallers(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.End, times(9, busy)...)
	caller := b.ask(10, conversation.Close{})
	b.after(12, b.CancelWorkflow)
	b.run()
	require.True(t, temporal.IsCanceledError(b.GetWorkflowError()))
	require.True(t, caller.answered)
	require.Error(t, caller.err)
}

// However many messages come in an idle window, one timer is started for it.
func TestOneTimerPerIdleWindow(t *testing.T) {
	b := newHarness(t)
	for i := range 100 {
		b.signal(3+5*i, "message", conversation.Message{})
	}
	b.run()
	// The first one rings early and is wound for the remainder; the last is
	// for the end.
	require.Equal(t, []string{"0+10m0s", "600+8m18s", "1098+1h0m0s"}, b.timers)
	require.Equal(t, []string{"1098 Inactivate by System", "4698 End by System"}, b.calls)
}

// A deadline that comes nearer is kept.
func TestShorterPolicyWindsTheTimer(t *testing.T) {
	b := newHarness(t)
	shorter := started(s1, 0)
	shorter.Policy = conversation.Policy{InactivateAfter: new(conversation.Duration(time.Minute))}
	shorter.At = at(10)
	b.signal(10, "start", shorter)
	b.run()
	require.Equal(t, "70 Inactivate by System", b.calls[0])
}

// Continue-as-new comes at a quiet moment, and carries the state whole.
func TestContinueAsNew(t *testing.T) {
	for name, suggest := range map[string]func(*harness){
		"at the server's suggestion": func(b *harness) { b.SetContinueAsNewSuggested(true) },
		"at our own bound":           func(b *harness) { b.SetCurrentHistoryLength(continueAsNewEvents) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newHarness(t)
			b.signal(50, "message", conversation.Message{At: at(50)})
			b.signal(60, "session-status", conversation.SessionStatus{SessionID: s1, Status: "Active", At: at(40)})
			b.justBefore(100, conversation.Message{At: at(90)})
			b.justBefore(100, conversation.Message{At: at(80)})
			b.after(100, func() { suggest(b) })
			b.run()
			require.Empty(t, b.calls)
			start, state := b.continued()
			require.Equal(t, identity(s1), start.Identity)

			want := active(s1)
			want.message(conversation.Message{At: at(50)}, at(50))
			want.sessionStatus(conversation.SessionStatus{SessionID: s1, Status: "Active", At: at(40)}, at(60))
			want.message(conversation.Message{At: at(90)}, at(100))
			require.Equal(t, want, state)

			next := newHarness(t)
			next.SetStartTime(at(100))
			next.ExecuteWorkflow(conversation.WorkflowType, start, state)
			require.Equal(t, []string{"690 Inactivate by System", "4290 End by System"}, next.calls)
		})
	}
}

// A Blocked conversation is quiet, and stays Blocked.
func TestContinueAsNewWhileBlocked(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.End, refused)
	b.signal(10, "close", conversation.Close{By: conversation.EndUser, At: at(10)})
	b.after(50, func() {
		b.SetContinueAsNewSuggested(true)
		b.SignalWorkflow("message", conversation.Message{At: at(5)})
	})
	b.run()
	start, state := b.continued()
	require.Equal(t, conversation.Blocked, state.Phase())

	next := newHarness(t)
	next.SetStartTime(at(50))
	next.signal(10, "retry", nil)
	next.ExecuteWorkflow(conversation.WorkflowType, start, state)
	require.Equal(t, []string{"60 End by EndUser"}, next.calls)
	require.Equal(t, 2, next.ended().Attempts, "those of the run before count")
}

// While a caller waits, or a call is in the air, the moment is not quiet.
func TestContinueAsNewWaitsForCallers(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.End, busy, busy)
	caller := b.ask(10, conversation.Close{})
	b.after(12, func() {
		b.SetContinueAsNewSuggested(true)
		b.SignalWorkflow("message", conversation.Message{At: at(5)})
	})
	b.run()
	require.Equal(t, conversation.Closed, b.ended().Why)
	require.Equal(t, conversation.Closed, caller.outcome.Why)
	require.Equal(t, []string{"10 End by System", "11 End by System", "13 End by System"}, b.calls)
}

// A call that is tried for hours must not keep the history from being cut: it
// is recalled, and made anew by the next run.
func TestContinueAsNewRecallsACall(t *testing.T) {
	b := newHarness(t)
	b.salesforce(conversation.End, times(99, busy)...)
	b.signal(10, "close", conversation.Close{At: at(10)})
	b.after(100, func() {
		b.SetContinueAsNewSuggested(true)
		b.SignalWorkflow("message", conversation.Message{At: at(5)})
	})
	b.run()
	start, state := b.continued()
	next := newHarness(t)
	next.SetStartTime(at(100))
	next.ExecuteWorkflow(conversation.WorkflowType, start, state)
	require.Equal(t, []string{"100 End by System"}, next.calls)
}

// One coroutine per conversation, whatever it has been through.
func TestOneCoroutine(t *testing.T) {
	b := newHarness(t)
	others := parked()
	coroutines := func() {
		var own []string
		for id := range parked() {
			if !others[id] {
				own = append(own, id)
			}
		}
		require.Len(t, own, 1)
	}
	b.salesforce(conversation.End, refused)
	b.after(1, coroutines)
	b.signal(5, "message", nil)
	b.ask(10, conversation.Close{})
	b.signal(20, "message", nil)
	b.after(30, coroutines)
	b.after(700, coroutines)
	b.run()
	b.ended()
}

// parked are the goroutines on which the SDK keeps the coroutines of workflows
// that wait.
func parked() map[string]bool {
	stacks := make([]byte, 8<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	waiting := map[string]bool{}
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, "(*coroutineState).initialYield(") {
			id, _, _ := strings.Cut(stack, " [")
			waiting[id] = true
		}
	}
	return waiting
}

// continued is what a run hands to the next.
func (b *harness) continued() (conversation.Start, *State) {
	b.t.Helper()
	var again *workflow.ContinueAsNewError
	require.ErrorAs(b.t, b.GetWorkflowError(), &again)
	require.Equal(b.t, conversation.WorkflowType, again.WorkflowType.Name)
	var start conversation.Start
	var state *State
	require.NoError(b.t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &start, &state))
	return start, state
}
