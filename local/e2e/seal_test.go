package e2e_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/seal"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
	"sessionkeeper/sender"
	"sessionkeeper/workflows"
)

// keysIn makes a file with one key and reads it.
func keysIn(t *testing.T) (path string, keys *seal.Keys) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "keys.json")
	_, err := seal.NewFile(path)
	require.NoError(t, err)
	keys, err = seal.ReadKeys(path)
	require.NoError(t, err)
	return path, keys
}

// senderWith returns a sender whose client has these keys.
func senderWith(t *testing.T, s *stack.Stack, path string) *sender.Sender {
	t.Helper()
	keys, err := seal.ReadKeys(path)
	require.NoError(t, err)
	options := client.Options{HostPort: s.TemporalAddress, Namespace: stack.Namespace}
	seal.Apply(&options, keys)
	c, err := client.DialContext(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return sender.New(c, sender.Options{Window: new(conversation.Duration(0)), DataConverter: options.DataConverter})
}

// A close that is sealed with a new key arrives before the key does: the workflow task
// waits for the key, and the End follows it.
func TestCloseWaitsForItsKey(t *testing.T) {
	t.Parallel()
	path, keys := keysIn(t)
	s := ownStack(t, stack.Options{Keys: keys})
	k := newTalk(t, s)
	k.start(conversation.Policy{})
	k.untilPhase(conversation.Active)

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	ahead := filepath.Join(t.TempDir(), "ahead.json")
	require.NoError(t, os.WriteFile(ahead, text, 0o600))
	id, err := seal.Add(ahead)
	require.NoError(t, err)
	require.NoError(t, seal.Promote(ahead, id))
	behind := k.Sender
	k.Sender = senderWith(t, s, ahead)
	k.hangUp()
	until(t, "the task has failed", func() bool { return hasEvent(k, enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED) })
	require.Empty(t, k.calls())

	text, err = os.ReadFile(ahead)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path+".next", text, 0o600))
	require.NoError(t, os.Rename(path+".next", path))
	k.Sender = behind
	outcome := k.ended()
	require.Equal(t, conversation.Closed, outcome.Why)
	require.Equal(t, "EndUser", outcome.EndedBy)
	require.Equal(t, "End", k.operations())
}

func hasEvent(k *talk, wanted enumspb.EventType) bool {
	for _, event := range k.history("") {
		if event.GetEventType() == wanted {
			return true
		}
	}
	return false
}

// With keys, nothing of the end user is readable in a history, in a failure or in a
// description. What is meant to be readable is.
func TestPersonalDataIsSealed(t *testing.T) {
	t.Parallel()
	path, keys := keysIn(t)
	s := ownStack(t, stack.Options{Keys: keys})
	k := newTalk(t, s)
	k.Sender = senderWith(t, s, path)
	fault := k.answers(0, simulator.Answer{ErrorReason: "END_USER_NOT_FOUND"})
	k.start(conversation.Policy{BlockedFor: new(conversation.Duration(time.Second))})
	k.message()
	k.hangUp()
	require.Error(t, k.result(nil))
	described := k.describe()
	require.Equal(t, "Failed", described.GetWorkflowExecutionInfo().GetStatus().String())
	events := k.history("")
	last := events[len(events)-1].GetWorkflowExecutionFailedEventAttributes()
	require.Equal(t, "END_USER_NOT_FOUND", last.GetFailure().GetApplicationFailureInfo().GetType())
	require.Equal(t, "Encoded failure", last.GetFailure().GetMessage())
	for _, event := range events {
		text, err := proto.Marshal(event)
		require.NoError(t, err)
		require.NotContains(t, string(text), k.id.EndUserClientID[1:], event.GetEventType())
		require.NotContains(t, string(text), k.id.ChannelAddressIdentifier, event.GetEventType())
	}
	text, err := proto.Marshal(described)
	require.NoError(t, err)
	require.NotContains(t, string(text), k.id.ChannelAddressIdentifier)
	require.Contains(t, string(text), "END_USER_NOT_FOUND", "the search attribute")

	// The status and the failure are readable with the keys, and the conversation is begun
	// again from a sealed history.
	status, err := k.Describe(t.Context(), k.id)
	require.NoError(t, err)
	require.Equal(t, "END_USER_NOT_FOUND", status.Failure.Reason)
	require.Contains(t, status.Failure.Message, "End was blocked for 1s")
	require.True(t, s.Sandbox.RemoveFault(fault))
	_, err = retry(t.Context(), func(ctx context.Context) (sender.Receipt, error) { return k.BeginAgain(ctx, k.id) })
	require.NoError(t, err)
	require.Equal(t, conversation.Closed, k.ended().Why)
}

// After two rotations of the key, histories of the first key are read and replayed.
func TestOldHistoriesAreReadAfterTwoRotations(t *testing.T) {
	t.Parallel()
	path, keys := keysIn(t)
	s := ownStack(t, stack.Options{Keys: keys})
	var talks []*talk
	used := map[string]bool{}
	for range 3 {
		k := newTalk(t, s)
		k.Sender = senderWith(t, s, path)
		k.start(conversation.Policy{})
		k.message()
		k.hangUp()
		require.Equal(t, conversation.Closed, k.ended().Why)
		talks = append(talks, k)
		id, err := seal.Add(path)
		require.NoError(t, err)
		require.NoError(t, seal.Promote(path, id))
	}
	current, err := seal.ReadKeys(path)
	require.NoError(t, err)
	var options client.Options
	seal.Apply(&options, current)
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{
		DataConverter: options.DataConverter, FailureConverter: options.FailureConverter,
	})
	require.NoError(t, err)
	workflows.Register(replayer)
	for _, k := range talks {
		events := k.history("")
		input := events[0].GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads()[0]
		used[string(input.GetMetadata()["encryption-key-id"])] = true
		require.NoError(t, replayer.ReplayWorkflowHistoryWithOptions(nil, &historypb.History{Events: events},
			worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{ID: k.id.WorkflowID()}}))
		status, err := senderWith(t, s, path).Status(t.Context(), k.id)
		require.NoError(t, err)
		require.Equal(t, conversation.Closed, status.Outcome.Why)
	}
	require.Len(t, used, 3, "each conversation was sealed with another key")
}
