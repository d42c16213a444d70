package e2e_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"sessionkeeper/conversation"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
	"sessionkeeper/sender"
)

// A hung-up chat whose End keeps failing is shown as what it is, and a list filter finds
// it.
func TestFailingEndIsShown(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	fault := k.answers(0, simulator.Answer{Status: 500, Message: "down"})
	k.start(conversation.Policy{})
	k.hangUp()
	read := func() (d sender.Description) {
		text := succeed(t, k.s.TemporalAddress, "starter", "status", "-json", k.id.WorkflowID())
		require.NoError(t, json.Unmarshal([]byte(text), &d))
		return d
	}
	until(t, "its first attempt has failed", func() bool { return read().Retrying != nil })
	early := read()
	require.Equal(t, conversation.End, early.Retrying.Operation)
	require.Equal(t, conversation.EndUser, early.Closing.By)
	require.Equal(t, "Running", early.Execution)
	require.Zero(t, early.InactivateAt, "it will not come true")

	query := "ErrorReason IS NOT NULL AND SessionPhase != 'Blocked' AND ExecutionStatus = 'Running' AND WorkflowId = '" +
		k.id.WorkflowID() + "'"
	until(t, "the list filter finds it", func() bool { return len(visible(t, k.s.Temporal, query)) == 1 })
	late := read()
	require.Equal(t, 3, late.Failing.Attempts, "reported once")
	require.GreaterOrEqual(t, late.Retrying.Attempt, 3)
	require.Equal(t, late.Failing.Since, late.Retrying.Since)
	require.NotEmpty(t, late.Retrying.LastReason)

	require.True(t, k.s.Sandbox.RemoveFault(fault))
	require.Equal(t, conversation.Closed, k.ended().Why)
	require.Equal(t, "Active Ended", k.phases(""))
	until(t, "the list filter finds it no more", func() bool { return len(visible(t, k.s.Temporal, query)) == 0 })
}

// A conversation that gave up says how it is begun again, and that command does it.
func TestGaveUpIsBegunAgain(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	fault := k.answers(0, simulator.Answer{ErrorReason: "END_USER_NOT_FOUND"})
	wrong := *k
	wrong.id.AuthorizationContext = "Wrong_Context"
	wrong.start(conversation.Policy{BlockedFor: new(conversation.Duration(5 * time.Second)), EndAfter: new(conversation.Duration(time.Hour))})
	k.hangUp()
	k.untilPhase(conversation.Blocked)
	k.start(conversation.Policy{}) // corrects the identity in the same run
	require.Error(t, k.result(nil))
	text := succeed(t, k.s.TemporalAddress, "starter", "status", k.id.WorkflowID())
	require.Contains(t, text, "Failed before the session had ended; begin it again: starter retry "+k.id.WorkflowID())
	require.Contains(t, text, "failed with    END_USER_NOT_FOUND: End was blocked for 5s: ")
	require.True(t, k.s.Sandbox.RemoveFault(fault))

	text = succeed(t, k.s.TemporalAddress, "starter", "retry", k.id.WorkflowID())
	require.Contains(t, text, "begun again: sent")
	outcome := k.ended()
	require.Equal(t, conversation.Closed, outcome.Why)
	require.Equal(t, "EndUser", outcome.EndedBy)
	calls := k.calls()
	require.Equal(t, k.id.AuthorizationContext, calls[len(calls)-1].AuthorizationContext, "the corrected identity counts")
	require.Equal(t, conversation.Duration(time.Hour), *outcome.Policy.EndAfter, "it keeps its policy")
	require.Contains(t, fail(t, k.s.TemporalAddress, "starter", "retry", k.id.WorkflowID()), "has not stopped early")
}

// Such a workflow does not answer, but Temporal knows why it failed.
func TestStatusOfAStartThatCannotBeRead(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	run, err := k.s.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: k.id.WorkflowID(), TaskQueue: conversation.DefaultTaskQueue,
	}, conversation.WorkflowType, "no start")
	require.NoError(t, err)
	require.Error(t, run.Get(t.Context(), nil))
	described, err := k.Describe(t.Context(), k.id)
	require.NoError(t, err)
	require.Error(t, described.NoAnswer)
	require.Equal(t, "Failed", described.Execution)
	require.Equal(t, "INVALID_REQUEST", described.Failure.Reason)
	require.Contains(t, described.Failure.Message, "start conversation: ")
	text := fail(t, k.s.TemporalAddress, "starter", "retry", k.id.WorkflowID())
	require.Contains(t, text, "the workflow failed with INVALID_REQUEST and has no status; send a start")
}

// A close that arrived after the last workflow task of a run, which was then terminated,
// is not lost when the conversation is begun again.
func TestUnprocessedCloseIsBegunAgain(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{NoWorker: true})
	_, stop, err := s.StartWorker(t.Context(), 0)
	require.NoError(t, err)
	k := newTalk(t, s)
	k.start(conversation.Policy{})
	k.untilPhase(conversation.Active)
	stop()
	k.hangUp()
	require.NoError(t, s.Temporal.TerminateWorkflow(t.Context(), k.id.WorkflowID(), "", "a test"))
	_, stop, err = s.StartWorker(t.Context(), 0)
	require.NoError(t, err)
	t.Cleanup(stop)
	receipt, err := retry(t.Context(), func(ctx context.Context) (sender.Receipt, error) { return k.BeginAgain(ctx, k.id) })
	require.NoError(t, err)
	require.Equal(t, sender.Sent, receipt)
	outcome := k.ended()
	require.Equal(t, conversation.Closed, outcome.Why)
	require.Equal(t, "EndUser", outcome.EndedBy)
	require.Equal(t, "End", k.operations())
}
