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

// A message cancels an Inactivate that is being retried.
func TestMessageCancelsInactivate(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.Inactivate, times(5, busy)...)
	h.signal(605, "message", conversation.Message{})
	h.signal(900, "close", conversation.Close{})
	h.run()
	require.Equal(t, []string{
		"600 Inactivate by System", "601 Inactivate by System", "603 Inactivate by System",
		"900 End by System",
	}, h.calls)
	require.Equal(t, conversation.Closed, h.ended().Why)
}

// A message that is older than the last activity cancels no call. A message of a newer
// session does, and that session has its whole idle time.
func TestOldMessageCancelsNothing(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.Inactivate, times(3, busy)...)
	h.signal(605, "message", conversation.Message{At: at(-5)})
	h.signal(606, "message", conversation.Message{At: at(6), SessionID: s2})
	h.signal(900, "close", conversation.Close{})
	h.run()
	require.Equal(t, []string{
		"600 Inactivate by System", "601 Inactivate by System", "603 Inactivate by System",
		"900 End by System",
	}, h.calls)
}

// A close cancels an Inactivate that is being retried, and Ends. Both never run at the
// same time, so no Inactivate comes after the End.
func TestCloseCancelsInactivate(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.Inactivate, times(9, busy)...)
	h.salesforce(conversation.End, busy, busy)
	h.signal(605, "close", conversation.Close{By: conversation.EndUser})
	h.run()
	require.Equal(t, []string{
		"600 Inactivate by System", "601 Inactivate by System", "603 Inactivate by System",
		"605 End by EndUser", "606 End by EndUser", "608 End by EndUser",
	}, h.calls)
	require.Equal(t, conversation.Closed, h.ended().Why)
}

// A message cancels an End of an idle session too.
func TestMessageCancelsIdleEnd(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.End, times(3, busy)...)
	h.signal(4202, "message", conversation.Message{})
	h.expectPhase(4203, conversation.Active)
	h.signal(4300, "close", conversation.Close{})
	h.salesforce(conversation.End, busy, busy)
	h.run()
	require.Equal(
		t,
		[]string{"600 Inactivate by System", "4200 End by System", "4201 End by System", "4300 End by System"},
		h.calls,
	)
}

// A new session cancels the End of the previous one, because that has ended.
func TestNewSessionCancelsEnd(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.End, times(9, busy)...)
	caller := h.closeAndWait(10, conversation.Close{By: conversation.EndUser})
	h.signal(12, "start", started(s2, 12))
	h.after(100, func() {
		require.Equal(t, conversation.NewSession, caller.outcome.Why)
		h.salesforce(conversation.End)
		require.Equal(t, s2, h.status().SessionID)
	})
	h.signal(200, "close", conversation.Close{SessionID: s2})
	h.run()
	require.Equal(t, []string{"10 End by EndUser", "11 End by EndUser", "200 End by System"}, h.calls)
	require.Equal(t, s2, h.ended().SessionID)
}

// Salesforce reports the end while our End is being retried.
func TestEndedInSalesforceCancelsEnd(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.End, times(9, busy)...)
	caller := h.closeAndWait(10, conversation.Close{})
	h.signal(12, "session-status", conversation.SessionStatus{SessionID: s1, Status: "Ended", EndedByRole: "Agent"})
	h.run()
	require.Equal(t, []string{"10 End by System", "11 End by System"}, h.calls)
	require.Equal(t, conversation.EndedInSalesforce, h.ended().Why)
	require.Equal(t, conversation.EndedInSalesforce, caller.outcome.Why)
}

func TestUpdateClose(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.End, refused, refused, busy)
	invalid := h.closeAndWait(1, conversation.Close{By: "Agent"})
	first := h.closeAndWait(10, conversation.Close{By: conversation.EndUser})
	again := h.closeAndWait(20, conversation.Close{})
	h.after(30, func() {
		require.False(t, invalid.accepted)
		require.ErrorContains(t, invalid.err, "by must be EndUser or System")
		for _, caller := range []*closeResult{first, again} {
			var blocked *temporal.ApplicationError
			require.ErrorAs(t, caller.err, &blocked)
			require.Equal(t, "NO_ACCESS", blocked.Type())
		}
		require.Equal(t, conversation.Blocked, h.status().Phase, "the close is still requested")
	})
	last, beside := h.closeAndWait(
		40,
		conversation.Close{},
	), h.closeAndWait(
		40,
		conversation.Close{By: conversation.EndUser},
	)
	h.run()
	outcome := h.ended()
	require.Equal(t, []string{"10 End by EndUser", "20 End by EndUser", "40 End by EndUser", "41 End by EndUser"}, h.calls)
	require.Equal(t, &outcome, last.outcome)
	require.Equal(t, &outcome, beside.outcome)
}

func TestUpdateCloseOfAnEarlierSession(t *testing.T) {
	h := newHarness(t)
	h.signal(10, "start", started(s2, 10))
	late := h.closeAndWait(20, conversation.Close{SessionID: s1})
	unknown := h.closeAndWait(21, conversation.Close{SessionID: s3, At: at(5)})
	h.after(30, func() {
		require.Equal(t, conversation.NewSession, late.outcome.Why)
		require.Equal(t, conversation.NewSession, unknown.outcome.Why)
		require.Equal(t, conversation.Active, h.status().Phase)
	})
	h.signal(40, "close", conversation.Close{})
	h.run()
	require.Equal(t, []string{"40 End by System"}, h.calls)
}

// A message was written while the close was retried, and then Salesforce refuses the
// close. The session continues, and the caller of the update gets an error.
func TestSessionContinuesAfterRefusedClose(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.End, busy, busy, refused)
	caller := h.closeAndWait(10, conversation.Close{})
	h.signal(12, "message", conversation.Message{})
	h.after(20, func() {
		var refusal *temporal.ApplicationError
		require.ErrorAs(t, caller.err, &refusal)
		require.Equal(t, "NO_ACCESS", refusal.Type())
		status := h.status()
		require.Equal(t, conversation.Active, status.Phase)
		require.Equal(t, at(612), status.InactivateAt)
		require.Equal(t, s1, status.SessionID)
	})
	h.run()
	require.Equal(t, []string{
		"10 End by System", "11 End by System", "13 End by System",
		"612 Inactivate by System", "4212 End by System",
	}, h.calls)
}

// A message after the end starts the next run, with every event that arrived.
func TestMessageAfterTheEndStartsTheNextRun(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.End, busy)
	h.justBefore(10, conversation.Message{At: at(9)})
	h.justBefore(10, conversation.Message{At: at(7)})
	h.signal(10, "close", conversation.Close{SessionID: s1, At: at(8)})
	h.run()
	require.Equal(t, []string{"10 End by System", "11 End by System"}, h.calls)
	start, state := h.continued()
	require.Nil(t, state.Outcome)
	require.Empty(t, start.SessionID, "the id of the next session is not known yet")
	require.Equal(t, []string{s1}, state.EndedSessions)
	require.Equal(t, at(9), state.LastActivityAt)
	require.Equal(t, []string{"Active", "Ended"}, h.phases)

	next := newHarness(t)
	next.SetStartTime(at(11))
	next.signal(100, "start", started(s2, 50))
	next.SetContinuedExecutionRunID("before")
	next.ExecuteWorkflow(conversation.WorkflowType, start, state)
	require.Equal(t, conversation.Idle, next.ended().Why)
	require.Equal(t, s2, next.ended().SessionID)
}

// Salesforce reports the end while the worker's End is in flight, and the next session
// begins and is closed. Its close is not answered with the outcome of the session before
// it: the next run ends it.
func TestCloseOfTheNextSessionIsNotAnsweredByTheLast(t *testing.T) {
	for name, test := range map[string]struct {
		session string
		message conversation.Message
	}{
		"that names it":         {s2, conversation.Message{SessionID: s2, At: at(18)}},
		"that names no session": {"", conversation.Message{At: at(18)}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.salesforce(conversation.End, times(99, busy)...)
			first := h.closeAndWait(10, conversation.Close{SessionID: s1})
			second := h.closeAndWait(20, conversation.Close{SessionID: test.session}, func() {
				h.SignalWorkflowSkippingWorkflowTask(conversation.SignalSessionStatus, conversation.SessionStatus{
					SessionID: s1, Status: conversation.StatusEnded, At: at(11),
				})
				h.SignalWorkflowSkippingWorkflowTask(conversation.SignalMessage, test.message)
			})
			h.run()
			require.Equal(t, conversation.EndedInSalesforce, first.outcome.Why)
			require.Nil(t, second.outcome)
			var nextRun *temporal.ApplicationError
			require.ErrorAs(t, second.err, &nextRun)
			require.Equal(t, conversation.ErrorNextRun, nextRun.Type())

			start, state := h.continued()
			next := newHarness(t)
			next.SetStartTime(at(40))
			next.salesforce(conversation.End, busy, busy)
			again := next.closeAndWait(1, conversation.Close{SessionID: test.session, At: at(20)})
			next.SetContinuedExecutionRunID("before")
			next.ExecuteWorkflow(conversation.WorkflowType, start, state)
			require.Equal(t, conversation.Closed, again.outcome.Why)
		})
	}
}

// A message that arrives in the workflow task that ends the session is not lost.
func TestMessageInTheTaskOfTheEnd(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.End, func() (conversation.Answer, error) {
		h.SignalWorkflowSkippingWorkflowTask("message", conversation.Message{At: at(11)})
		return success()
	})
	h.after(12, func() { h.SignalWorkflow("close", conversation.Close{At: at(10)}) })
	h.run()
	_, state := h.continued()
	require.Equal(t, at(11), state.LastActivityAt)
}

// Cancelling the workflow makes no call.
func TestCancel(t *testing.T) {
	for name, tt := range map[string]struct {
		policy func(*conversation.Policy)
		play   func(*harness)
		calls  []string
	}{
		"while Active":   {nil, func(h *harness) { h.after(10, h.CancelWorkflow) }, nil},
		"while Inactive": {nil, func(h *harness) { h.after(700, h.CancelWorkflow) }, []string{"600 Inactivate by System"}},
		"with a close in the same task": {nil, func(h *harness) {
			h.after(10, func() {
				h.SignalWorkflowSkippingWorkflowTask("close", conversation.Close{})
				h.CancelWorkflow()
			})
		}, nil},
		"during a call": {nil, func(h *harness) {
			h.salesforce(conversation.End, times(9, busy)...)
			h.signal(10, "close", conversation.Close{})
			h.after(12, h.CancelWorkflow)
		}, []string{"10 End by System", "11 End by System"}},
		"while Blocked": {nil, func(h *harness) {
			h.salesforce(conversation.Inactivate, refused)
			h.after(700, h.CancelWorkflow)
		}, []string{"600 Inactivate by System"}},
		"with endOnCancel": {func(p *conversation.Policy) { p.EndOnCancel = true }, func(h *harness) {
			h.salesforce(conversation.End, busy)
			h.after(10, h.CancelWorkflow)
		}, []string{"10 End by System", "11 End by System"}},
		"with endOnCancel and a long history": {func(p *conversation.Policy) { p.EndOnCancel = true }, func(h *harness) {
			h.salesforce(conversation.Inactivate, times(9, busy)...)
			h.after(602, func() {
				h.SetContinueAsNewSuggested(true)
				h.CancelWorkflow()
			})
		}, []string{"600 Inactivate by System", "601 Inactivate by System", "602 End by System"}},
		"with endOnCancel while Blocked": {func(p *conversation.Policy) { p.EndOnCancel = true }, func(h *harness) {
			h.salesforce(conversation.End, refused)
			h.signal(10, "close", conversation.Close{By: conversation.EndUser})
			h.after(20, h.CancelWorkflow)
		}, []string{"10 End by EndUser", "20 End by EndUser"}},
		"with endOnCancel, ended in the same task": {func(p *conversation.Policy) { p.EndOnCancel = true }, func(h *harness) {
			h.after(10, func() {
				h.SignalWorkflowSkippingWorkflowTask("session-status", conversation.SessionStatus{SessionID: s1, Status: "Ended"})
				h.CancelWorkflow()
			})
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			tt.play(h)
			h.run(func(s *conversation.Start) {
				if tt.policy != nil {
					tt.policy(&s.Policy)
				}
			})
			require.True(t, temporal.IsCanceledError(h.GetWorkflowError()), "%v", h.GetWorkflowError())
			require.Equal(t, tt.calls, h.calls)
		})
	}
}

// Cancelling the workflow fails the updates that wait.
func TestCancelFailsCloses(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.End, times(9, busy)...)
	caller := h.closeAndWait(10, conversation.Close{})
	h.after(12, h.CancelWorkflow)
	h.run()
	require.True(t, temporal.IsCanceledError(h.GetWorkflowError()))
	require.True(t, caller.returned)
	require.Error(t, caller.err)
}

// One timer is started per idle time, however many messages arrive.
func TestOneTimerPerIdleTime(t *testing.T) {
	h := newHarness(t)
	for i := range 100 {
		h.signal(3+5*i, "message", conversation.Message{})
	}
	h.run()
	// The first timer fires too early and is set for the rest of the time. The last
	// one is for the End.
	require.Equal(t, []string{"0+10m0s", "600+8m18s", "1098+1h0m0s"}, h.timers)
	require.Equal(t, []string{"1098 Inactivate by System", "4698 End by System"}, h.calls)
}

// A shorter policy lowers the deadline, so the timer is replaced.
func TestShorterPolicyResetsTheTimer(t *testing.T) {
	h := newHarness(t)
	shorter := started(s1, 0)
	shorter.Policy = conversation.Policy{InactivateAfter: new(conversation.Duration(time.Minute))}
	shorter.At = at(10)
	h.signal(10, "start", shorter)
	h.run()
	require.Equal(t, "70 Inactivate by System", h.calls[0])
}

// Continue-as-new happens while nothing is in flight, and passes on the whole state.
func TestContinueAsNew(t *testing.T) {
	for name, suggest := range map[string]func(*harness){
		"at the server's suggestion": func(h *harness) { h.SetContinueAsNewSuggested(true) },
		"at our own limit":           func(h *harness) { h.SetCurrentHistoryLength(continueAsNewEvents) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.signal(50, "message", conversation.Message{At: at(50)})
			h.signal(60, "session-status", conversation.SessionStatus{SessionID: s1, Status: "Active", At: at(40)})
			h.justBefore(100, conversation.Message{At: at(90)})
			h.justBefore(100, conversation.Message{At: at(80)})
			h.after(100, func() { suggest(h) })
			h.run()
			require.Empty(t, h.calls)
			start, state := h.continued()
			require.Equal(t, identity(s1), start.Identity)

			want := active(s1)
			want.applyMessage(conversation.Message{At: at(50)}, at(50))
			want.applySessionStatus(conversation.SessionStatus{SessionID: s1, Status: "Active", At: at(40)}, at(60))
			want.applyMessage(conversation.Message{At: at(90)}, at(100))
			require.Equal(t, want, state)

			next := newHarness(t)
			next.SetStartTime(at(100))
			next.SetContinuedExecutionRunID("before")
			next.ExecuteWorkflow(conversation.WorkflowType, start, state)
			require.Equal(t, []string{"690 Inactivate by System", "4290 End by System"}, next.calls)
		})
	}
}

// A Blocked conversation has nothing in flight, and stays Blocked in the next run.
func TestContinueAsNewWhileBlocked(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.End, refused)
	h.signal(10, "close", conversation.Close{By: conversation.EndUser, At: at(10)})
	h.after(50, func() {
		h.SetContinueAsNewSuggested(true)
		h.SignalWorkflow("message", conversation.Message{At: at(5)})
	})
	h.run()
	start, state := h.continued()
	require.Equal(t, conversation.Blocked, state.Phase())

	next := newHarness(t)
	next.SetStartTime(at(50))
	next.signal(10, "retry", nil)
	next.SetContinuedExecutionRunID("before")
	next.ExecuteWorkflow(conversation.WorkflowType, start, state)
	require.Equal(t, []string{"60 End by EndUser"}, next.calls)
	require.Equal(t, 2, next.ended().Attempts, "attempts of the previous run count")
}

// Continue-as-new waits for an update that has not returned, and for its call.
func TestContinueAsNewWaitsForUpdates(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.End, busy, busy)
	caller := h.closeAndWait(10, conversation.Close{})
	h.after(12, func() {
		h.SetContinueAsNewSuggested(true)
		h.SignalWorkflow("message", conversation.Message{At: at(5)})
	})
	h.run()
	require.Equal(t, conversation.Closed, h.ended().Why)
	require.Equal(t, conversation.Closed, caller.outcome.Why)
	require.Equal(t, []string{"10 End by System", "11 End by System", "13 End by System"}, h.calls)
}

// A call that is retried for hours must not prevent continue-as-new: it is cancelled,
// and the next run makes it again.
func TestContinueAsNewCancelsACall(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.End, times(99, busy)...)
	h.signal(10, "close", conversation.Close{At: at(10)})
	h.after(100, func() {
		h.SetContinueAsNewSuggested(true)
		h.SignalWorkflow("message", conversation.Message{At: at(5)})
	})
	h.run()
	start, state := h.continued()
	next := newHarness(t)
	next.SetStartTime(at(100))
	next.SetContinuedExecutionRunID("before")
	next.ExecuteWorkflow(conversation.WorkflowType, start, state)
	require.Equal(t, []string{"100 End by System"}, next.calls)
}

// A conversation has one coroutine, whatever has happened to it.
func TestOneCoroutine(t *testing.T) {
	h := newHarness(t)
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
	h.salesforce(conversation.End, refused)
	h.after(1, coroutines)
	h.signal(5, "message", nil)
	h.closeAndWait(10, conversation.Close{})
	h.signal(20, "message", nil)
	h.after(30, coroutines)
	h.after(700, coroutines)
	h.run()
	h.ended()
}

// parked returns the ids of the goroutines in which the SDK runs the coroutines of
// waiting workflows.
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

// continued returns what a run passes to the next one.
func (h *harness) continued() (conversation.Start, *State) {
	h.t.Helper()
	var again *workflow.ContinueAsNewError
	require.ErrorAs(h.t, h.GetWorkflowError(), &again)
	require.Equal(h.t, conversation.WorkflowType, again.WorkflowType.Name)
	var start conversation.Start
	var state *State
	require.NoError(h.t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &start, &state))
	return start, state
}
