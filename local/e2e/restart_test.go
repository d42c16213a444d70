package e2e_test

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
)

// startWorker runs a worker on a stack until stop is called, or the test ends.
func startWorker(t *testing.T, s *stack.Stack) (stop func()) {
	t.Helper()
	_, end, err := s.StartWorker(t.Context(), 0)
	require.NoError(t, err)
	stop = sync.OnceFunc(end)
	t.Cleanup(stop)
	return stop
}

// Another worker continues the retries of a worker that has stopped.
func TestAnotherWorkerContinuesTheRetries(t *testing.T) {
	t.Parallel()
	k := newTalk(t, ownStack(t, stack.Options{NoWorker: true}))
	stop := startWorker(t, k.s)
	fault := k.answers(0, simulator.Answer{ErrorReason: "INTERNAL_ERROR"})
	k.start(conversation.Policy{})
	k.hangUp()
	k.untilCalls(answered(2))
	stop()
	made := len(k.calls())

	startWorker(t, k.s)
	k.untilCalls(answered(made + 1))
	require.True(t, k.s.Sandbox.RemoveFault(fault))
	outcome := k.ended()
	require.Equal(t, conversation.Closed, outcome.Why)
	calls := k.calls()
	require.Len(t, calls, outcome.Attempts, "one call an attempt, whichever worker makes it")
	ids := map[string]bool{}
	for _, call := range calls {
		require.Empty(t, call.Violations)
		ids[call.RequestID] = true
	}
	require.Len(t, ids, len(calls))
}

// A stopping worker lets the call under way finish and reports its result.
func TestStoppingWorkerFinishesItsCall(t *testing.T) {
	t.Parallel()
	k := newTalk(t, ownStack(t, stack.Options{NoWorker: true}))
	stop := startWorker(t, k.s)
	k.fault(simulator.Fault{Times: 1, Latency: simulator.Duration(2 * time.Second)})
	k.start(conversation.Policy{})
	k.hangUp()
	k.untilCalls(func(calls []simulator.Entry) bool { return len(calls) == 1 })
	require.False(t, k.calls()[0].Answered())
	stop()
	require.True(t, k.calls()[0].Answered(), "it stopped before the answer")
	require.True(t, k.calls()[0].Success)

	startWorker(t, k.s)
	outcome := k.ended()
	require.Equal(t, conversation.Closed, outcome.Why)
	require.Equal(t, 1, outcome.Attempts)
	require.Len(t, k.calls(), 1)
}

// Conversations of every phase continue when the server starts again on its file.
func TestConversationsContinueAfterServerRestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "temporal.db")
	before := ownStack(t, stack.Options{DBFile: file})
	active, inactive, blocked := newTalk(t, before), newTalk(t, before), newTalk(t, before)
	active.start(conversation.Policy{})
	inactive.start(conversation.Policy{InactivateAfter: new(conversation.Duration(time.Second))})
	blocked.answers(0, simulator.Answer{ErrorReason: "NO_ACCESS"})
	blocked.start(conversation.Policy{})
	blocked.hangUp()
	inactive.untilPhase(conversation.Inactive)
	blocked.untilPhase(conversation.Blocked)
	before.Stop()

	after := ownStack(t, stack.Options{DBFile: file})
	active, inactive, blocked = active.on(after), inactive.on(after), blocked.on(after)
	require.Equal(t, conversation.Active, active.status().Phase)
	require.Equal(t, conversation.Inactive, inactive.status().Phase)
	require.Equal(t, conversation.Blocked, blocked.status().Phase)
	active.forward(11 * time.Minute)
	active.hangUp()
	require.Equal(t, conversation.Closed, active.ended().Why)
	require.Equal(t, "Inactivate End", active.operations())
	inactive.forward(25 * time.Hour)
	require.Equal(t, conversation.Idle, inactive.ended().Why)
	require.NoError(t, blocked.Retry(t.Context(), blocked.id))
	require.Equal(t, "EndUser", blocked.ended().EndedBy)
}
