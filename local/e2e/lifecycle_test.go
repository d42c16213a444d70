package e2e_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
	"sessionkeeper/sandbox/simulator"
	"sessionkeeper/sender"
)

// The defaults, in virtual time: Inactive ten minutes after the last message, and
// Ended a day after that.
func TestQuietConversationIsMadeInactiveThenEnded(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	k.start(conversation.Policy{})
	k.forward(6 * time.Minute)
	k.message()
	k.forward(9 * time.Minute)
	status := k.status()
	require.Equal(t, conversation.Active, status.Phase)
	require.Equal(t, status.LastMessageAt.Add(10*time.Minute), status.InactivateAt)
	require.Empty(t, k.calls())
	k.forward(2 * time.Minute)
	require.Equal(t, conversation.Inactive, k.status().Phase)
	require.Equal(t, "Inactivate", k.operations())
	k.forward(23 * time.Hour)
	require.Equal(t, conversation.Inactive, k.status().Phase)
	k.forward(2 * time.Hour)

	outcome := k.ended()
	require.Equal(t, conversation.Idle, outcome.Why)
	require.Equal(t, "System", outcome.EndedBy)
	require.Equal(t, "Inactivate End", k.operations())
	require.Equal(t, "Active Inactive Ended", k.phases(""))

	events := k.history("")
	message := first(t, events, func(e *historypb.HistoryEvent) bool {
		return e.GetWorkflowExecutionSignaledEventAttributes().GetSignalName() == conversation.SignalMessage
	}).GetEventTime().AsTime()
	inactivate := first(t, events, scheduled(conversation.Inactivate)).GetEventTime().AsTime()
	end := first(t, events, scheduled(conversation.End)).GetEventTime().AsTime()
	t.Logf("Inactivate was scheduled %s after the message, End %s later", inactivate.Sub(message), end.Sub(inactivate))
	require.GreaterOrEqual(t, inactivate.Sub(message), 10*time.Minute)
	require.GreaterOrEqual(t, end.Sub(inactivate), 24*time.Hour)
}

func TestMessageMakesInactiveConversationActive(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	k.start(conversation.Policy{})
	k.forward(11 * time.Minute)
	require.Equal(t, conversation.Inactive, k.status().Phase)
	k.message()
	k.untilPhase(conversation.Active)
	k.forward(9 * time.Minute)
	require.Equal(t, conversation.Active, k.status().Phase)
	k.forward(2 * time.Minute)
	require.Equal(t, conversation.Inactive, k.status().Phase)
	k.hangUp()
	require.Equal(t, conversation.Closed, k.ended().Why)
	require.Equal(t, "Inactivate Inactivate End", k.operations())
	require.Equal(t, "Active Inactive Active Inactive Ended", k.phases(""))
}

func TestZeroEndAfterLeavesTheEndToSalesforce(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	k.start(conversation.Policy{EndAfter: new(conversation.Duration(0))})
	k.forward(11 * time.Minute)
	k.forward(72 * time.Hour)
	require.Equal(t, conversation.Inactive, k.status().Phase)
	require.Equal(t, "Inactivate", k.operations())

	receipt, err := k.SessionStatus(t.Context(), k.id, conversation.SessionStatus{
		SessionID: k.id.SessionID, Status: conversation.StatusEnded, EndedByRole: "System",
	})
	require.NoError(t, err)
	require.Equal(t, sender.Sent, receipt)
	require.Equal(t, conversation.EndedInSalesforce, k.ended().Why)
	require.Equal(t, "Inactivate", k.operations(), "a session that has ended is not ended again")
}

func TestCloseAndWait(t *testing.T) {
	t.Parallel()
	byEndUser := conversation.Close{By: conversation.EndUser}
	t.Run("conversation without an earlier event", func(t *testing.T) {
		t.Parallel()
		k := newTalk(t, sharedStack(t))
		outcome, err := k.CloseAndWait(t.Context(), k.id, byEndUser)
		require.NoError(t, err)
		require.Equal(t, conversation.Closed, outcome.Why)
		require.Equal(t, "EndUser", outcome.EndedBy)
		require.Equal(t, k.ended(), outcome)
	})
	t.Run("running conversation, twice", func(t *testing.T) {
		t.Parallel()
		k := newTalk(t, sharedStack(t))
		k.start(conversation.Policy{})
		k.message()
		outcome, err := k.CloseAndWait(t.Context(), k.id, byEndUser)
		require.NoError(t, err)
		require.Equal(t, conversation.Closed, outcome.Why)
		run := k.runID()

		again, err := k.CloseAndWait(t.Context(), k.id, byEndUser)
		require.NoError(t, err)
		require.Equal(t, outcome, again)
		require.Equal(t, run, k.runID(), "no new run was started")
		require.Equal(t, "End", k.operations())
	})
	t.Run("ten callers at once", func(t *testing.T) {
		t.Parallel()
		k := newTalk(t, sharedStack(t))
		outcomes := make([]conversation.Outcome, 10) // Temporal's limit of updates in flight for one workflow
		errs := make([]error, len(outcomes))
		var callers sync.WaitGroup
		for i := range outcomes {
			callers.Go(func() { outcomes[i], errs[i] = k.CloseAndWait(t.Context(), k.id, byEndUser) })
		}
		callers.Wait()
		for i := range outcomes {
			require.NoError(t, errs[i])
			require.Equal(t, conversation.Closed, outcomes[i].Why)
		}
		require.Equal(t, "End", k.operations())
	})
	t.Run("Blocked conversation", func(t *testing.T) {
		t.Parallel()
		k := newTalk(t, sharedStack(t))
		fault := k.answers(0, simulator.Answer{ErrorReason: "PERMISSION_DENIED"})
		_, err := k.CloseAndWait(t.Context(), k.id, byEndUser)
		var refused *temporal.ApplicationError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "PERMISSION_DENIED", refused.Type())
		require.Equal(t, conversation.Blocked, k.status().Phase)
		require.True(t, k.s.Sandbox.RemoveFault(fault))
		require.NoError(t, k.Retry(t.Context(), k.id))
		require.Equal(t, "EndUser", k.ended().EndedBy, "the close is still pending")
	})
	t.Run("malformed update", func(t *testing.T) {
		t.Parallel()
		k := newTalk(t, sharedStack(t))
		k.start(conversation.Policy{})
		for _, payload := range []any{conversation.Close{By: "Agent"}, map[string]any{"sessionId": "short"}, "close", 17} {
			handle, err := k.s.Temporal.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
				WorkflowID: k.id.WorkflowID(), UpdateName: conversation.UpdateClose, Args: []any{payload},
				WaitForStage: client.WorkflowUpdateStageAccepted,
			})
			if err == nil {
				err = handle.Get(t.Context(), nil)
			}
			require.Error(t, err, "%v", payload)
		}
		require.Equal(t, conversation.Active, k.status().Phase)
		require.Zero(t, count(k.history(""), enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED))
	})
}

// Events that are sent again after the end change nothing.
func TestEventsSentAgainAfterTheEnd(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	began := time.Now()
	start := conversation.Start{Identity: k.id, At: began}
	message := conversation.Message{At: began.Add(time.Millisecond)}
	closing := conversation.Close{By: conversation.EndUser, At: began.Add(2 * time.Millisecond)}
	sendTwice := func(want sender.Receipt) {
		t.Helper()
		for range 2 {
			receipt, err := k.Start(t.Context(), start)
			require.NoError(t, err)
			require.Equal(t, want, receipt)
			receipt, err = k.Message(t.Context(), k.id, message)
			require.NoError(t, err)
			require.Equal(t, want, receipt)
		}
	}
	sendTwice(sender.Sent)
	receipt, err := k.CloseConversation(t.Context(), k.id, closing)
	require.NoError(t, err)
	require.Equal(t, sender.Sent, receipt)
	require.Equal(t, conversation.Closed, k.ended().Why)
	run := k.runID()

	sendTwice(sender.AlreadyOver)
	receipt, err = k.CloseConversation(t.Context(), k.id, closing)
	require.NoError(t, err)
	require.Equal(t, sender.AlreadyOver, receipt)
	receipt, err = k.SessionStatus(t.Context(), k.id, conversation.SessionStatus{
		SessionID: k.id.SessionID, Status: conversation.StatusEnded,
	})
	require.NoError(t, err)
	require.Equal(t, sender.AlreadyOver, receipt, "this is the end that we asked for")
	onlyKey := conversation.Identity{OrgID: k.id.OrgID, ConversationIdentifier: k.id.ConversationIdentifier}
	receipt, err = k.Message(t.Context(), onlyKey, message)
	require.NoError(t, err)
	require.Equal(t, sender.NotTracked, receipt)
	require.Equal(t, run, k.runID())
	require.Equal(t, "End", k.operations())
}

// A conversation can start again after its end, with a new session.
func TestConversationStartsAgain(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	for earlier := range 3 {
		if earlier > 0 {
			k.newSession()
		}
		k.start(conversation.Policy{})
		k.message()
		require.Equal(t, conversation.Active, k.status().Phase)
		k.hangUp()
		require.Equal(t, k.id.SessionID, k.ended().SessionID)
		calls := k.calls()
		require.Len(t, calls, earlier+1)
		require.Equal(t, k.id.SessionID, calls[earlier].SessionID)
		require.True(t, calls[earlier].Success)
	}
}

// A message that arrives while End is in flight makes the conversation continue
// as new after it.
func TestMessageDuringEnd(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	k.fault(simulator.Fault{Times: 1, Latency: simulator.Duration(time.Second)})
	k.start(conversation.Policy{})
	k.hangUp()
	k.untilCalls(func(calls []simulator.Entry) bool { return len(calls) == 1 })
	old := k.runID()
	k.id.SessionID = "" // the next session is not known yet
	k.message()
	until(t, "the next run has started", func() bool { return k.runID() != old })
	require.Equal(t, conversation.Active, k.status().Phase)
	require.Equal(t, "Active Ended", k.phases(old))
	k.newSession()
	k.message()
	outcome, err := k.CloseAndWait(t.Context(), k.id, conversation.Close{})
	require.NoError(t, err)
	require.Equal(t, conversation.Closed, outcome.Why)
	require.Equal(t, "End End", k.operations())
	require.Equal(t, k.id.SessionID, k.calls()[1].SessionID)
}

// A message that is sent while the conversation ends belongs to that end, or
// starts the conversation again.
func TestNoMessageIsLostAtTheEnd(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	k.start(conversation.Policy{})
	k.id.SessionID = "" // only the time decides then
	const writers, closes = 4, 6
	stop := make(chan struct{})
	last := make([]time.Time, writers)
	errs := make([]error, writers)
	var writing sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for errs[i] == nil {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				last[i] = time.Now()
				_, errs[i] = k.Message(t.Context(), k.id, conversation.Message{At: last[i]})
			}
		})
	}
	for range closes {
		before, run := len(k.calls()), k.runID()
		receipt, err := k.CloseConversation(t.Context(), k.id, conversation.Close{At: time.Now()})
		require.NoError(t, err)
		require.Contains(t, []sender.Receipt{sender.Sent, sender.AlreadyOver}, receipt)
		// A close that arrives during the End of the previous one makes no call of
		// its own: that run ends.
		until(t, "the close is done", func() bool {
			calls := k.calls()
			return receipt == sender.AlreadyOver || len(calls) > before && calls[before].Answered() ||
				k.runID() != run || k.status().Outcome != nil
		})
		require.NoError(t, k.s.Sandbox.SetStatus(k.id.OrgID, k.id.ConversationIdentifier, simulator.StatusActive))
	}
	close(stop)
	writing.Wait()
	var newest time.Time
	for i := range writers {
		require.NoError(t, errs[i])
		if last[i].After(newest) {
			newest = last[i]
		}
	}
	until(t, "the workflow has the last message", func() bool {
		status := k.status()
		return status.Outcome != nil && !status.Outcome.EndsEventsUntil.Before(newest) || status.LastMessageAt.Equal(newest)
	})
	outcome, err := k.CloseAndWait(t.Context(), k.id, conversation.Close{})
	require.NoError(t, err)
	require.False(t, outcome.EndsEventsUntil.Before(newest))
	until(t, "every run is listed as closed", func() bool {
		return len(visible(t, k.s.Temporal, "WorkflowId = '"+k.id.WorkflowID()+"' AND ExecutionStatus = 'Running'")) == 0
	})
	runs := visible(t, k.s.Temporal, "WorkflowId = '"+k.id.WorkflowID()+"'")
	require.Greater(t, len(runs), 1, "no end happened while messages were sent: nothing was tested")
}

func TestConcurrentStartsAreOneRun(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	const starters = 50
	errs := make([]error, starters)
	var starting sync.WaitGroup
	for i := range starters {
		starting.Go(func() { _, errs[i] = k.Start(t.Context(), conversation.Start{Identity: k.id}) })
	}
	starting.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	k.hangUp()
	require.Equal(t, conversation.Closed, k.ended().Why)
	// While a workflow task runs, the server buffers new signals. So
	// they are counted at the end.
	events := k.history("")
	require.Equal(t, starters, count(events, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED),
		"every start but the first one, and the close, is a signal of the same run")
	require.Empty(t, events[0].GetWorkflowExecutionStartedEventAttributes().GetContinuedExecutionRunId())
	require.Equal(t, "End", k.operations())
}

func TestCanceledWorkflow(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		policy conversation.Policy
		calls  string
	}{
		"makes no call":              {conversation.Policy{}, ""},
		"calls End with endOnCancel": {conversation.Policy{EndOnCancel: true}, "End"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newTalk(t, sharedStack(t))
			k.start(tt.policy)
			require.NoError(t, k.s.Temporal.CancelWorkflow(t.Context(), k.id.WorkflowID(), ""))
			var canceled *temporal.CanceledError
			require.ErrorAs(t, k.result(nil), &canceled)
			require.Equal(t, tt.calls, k.operations())

			k.newSession()
			k.start(conversation.Policy{})
			require.Equal(t, conversation.Active, k.untilPhase(conversation.Active).Phase, "it can start again")
		})
	}
}

func TestTerminatedWorkflow(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	before := time.Now()
	k.start(conversation.Policy{})
	require.NoError(t, k.s.Temporal.TerminateWorkflow(t.Context(), k.id.WorkflowID(), "", "by an operator"))
	receipt, err := k.Message(t.Context(), k.id, conversation.Message{At: before})
	require.NoError(t, err)
	require.Equal(t, sender.AlreadyOver, receipt, "the message is from before the termination")
	k.message()
	require.Equal(t, conversation.Active, k.status().Phase)
	k.hangUp()
	require.Equal(t, conversation.Closed, k.ended().Why)
	require.Equal(t, "End", k.operations())
}

// A long conversation continues as new and keeps its state.
func TestContinueAsNewKeepsTheState(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	policy := conversation.Policy{
		InactivateAfter: new(conversation.Duration(time.Hour)),
		EndAfter:        new(conversation.Duration(2 * time.Hour)),
		BlockedFor:      new(conversation.Duration(3 * time.Hour)),
	}
	k.start(policy)
	began := k.status()
	firstRun := k.runID()
	var last time.Time
	for n := 0; n%20 > 0 || k.runID() == firstRun; n++ {
		require.Less(t, n, 3000, "it does not continue as new")
		last = time.Now().UTC()
		k.send(func(ctx context.Context) (sender.Receipt, error) {
			return k.Message(ctx, k.id, conversation.Message{At: last})
		})
	}
	var status conversation.Status
	until(t, "the workflow has the last message", func() bool {
		status = k.status()
		return status.LastMessageAt.Equal(last)
	})
	require.Equal(t, began.StartedAt, status.StartedAt)
	require.Equal(t, policy, status.Policy)
	require.Equal(t, k.id.SessionID, status.SessionID)
	require.Equal(t, last.Add(time.Hour), status.InactivateAt)

	old := k.history(firstRun)
	require.Equal(t, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW, old[len(old)-1].GetEventType())
	require.Less(t, len(old), 2100)
	require.Equal(t, "Active", k.phases(""))
	require.Equal(t, k.id.OrgID, attribute(t, k.history("")[0], conversation.OrgIDKey.GetName()))
	running := "WorkflowId = '" + k.id.WorkflowID() + "' AND ExecutionStatus = 'Running' AND SessionPhase = 'Active'"
	until(t, "it is listed as Active", func() bool { return len(visible(t, k.s.Temporal, running)) == 1 })

	k.forward(2 * time.Hour)
	require.Equal(t, conversation.Inactive, k.status().Phase)
	k.forward(3 * time.Hour)
	require.Equal(t, conversation.Idle, k.ended().Why)
	require.Equal(t, "Inactivate End", k.operations())
}

// A signal whose payload cannot be read never stops a conversation. A message counts,
// and so does a close of which only the time cannot be read.
func TestMalformedSignals(t *testing.T) {
	t.Parallel()
	garbage := map[string]any{
		"number": 17, "text": "hello", "list": []int{1}, "null": nil,
		"bytes":        []byte{0xff, 0},
		"wrong type":   map[string]any{"at": 17, "sessionId": []string{}},
		"wrong time":   map[string]any{"at": "yesterday"},
		"deep":         strings.Repeat("[", 5000),
		"raw":          converter.NewRawValue(nil),
		"huge session": map[string]any{"sessionId": strings.Repeat("x", 100_000)},
	}
	for name, payload := range garbage {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newTalk(t, sharedStack(t))
			k.start(conversation.Policy{})
			send := func(signal string) {
				t.Helper()
				require.NoError(t, k.s.Temporal.SignalWorkflow(t.Context(), k.id.WorkflowID(), "", signal, payload))
			}
			for _, signal := range []string{
				"no such signal", conversation.SignalStart, conversation.SignalSessionStatus, conversation.SignalRetry,
				conversation.SignalMessage,
			} {
				send(signal)
			}
			require.Equal(t, conversation.Active, k.status().Phase)
			require.Equal(t, k.id.SessionID, k.status().SessionID)
			require.False(t, k.status().LastMessageAt.IsZero(), "the message counts")
			send(conversation.SignalClose)
			if name != "wrong time" {
				require.Nil(t, k.status().Closing)
				payload = conversation.Close{By: conversation.System}
				send(conversation.SignalClose)
			}
			outcome := k.ended()
			require.Equal(t, conversation.Closed, outcome.Why)
			require.Equal(t, "System", outcome.EndedBy)
			require.Zero(t, count(k.history(""), enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED))
		})
	}
}
