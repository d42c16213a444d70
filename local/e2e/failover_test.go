package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"sessionkeeper/conversation"
	"sessionkeeper/local/internal/link"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
)

// workers are two worker processes. The first one reaches Temporal through a link.
type workers struct {
	s             *stack.Stack
	first, second *program
	link          *link.Link
	// firstMetrics is the address of the first worker's metrics.
	firstMetrics string
}

// newWorkers starts the first worker alone, so that it gets all tasks.
func newWorkers(t *testing.T) (w *workers, startSecond func()) {
	t.Helper()
	s := ownStack(t, stack.Options{NoWorker: true})
	l, err := link.New(context.WithoutCancel(t.Context()), s.TemporalAddress)
	require.NoError(t, err)
	t.Cleanup(l.Close)
	config := writeConfig(t, s)
	start := func(temporal, listen string) *program {
		p := run(t, temporal, "worker", "-config", config, "-listen", listen)
		p.waitForStderr("Worker started")
		return p
	}
	w = &workers{s: s, link: l, firstMetrics: freeAddress(t)}
	w.first = start(l.Address(), w.firstMetrics)
	return w, func() { w.second = start(s.TemporalAddress, "127.0.0.1:0") }
}

// callOfFirst starts a conversation whose Inactivate the first worker makes, and waits until
// the sandbox has its request. The sandbox does not answer it for a minute. The token takes
// so long that the call would last longer than the heartbeat timeout.
func (w *workers) callOfFirst(t *testing.T, startSecond func()) *talk {
	t.Helper()
	k := newTalk(t, w.s)
	w.slowToken(t)
	k.fault(simulator.Fault{Operation: simulator.Inactivate, Times: 1, Latency: simulator.Duration(time.Minute)})
	k.start(conversation.Policy{InactivateAfter: new(conversation.Duration(time.Second))})
	k.untilCalls(func(calls []simulator.Entry) bool { return len(calls) == 1 })
	startSecond()
	return k
}

func (w *workers) slowToken(t *testing.T) {
	t.Helper()
	_, err := w.s.Sandbox.Inject(simulator.Fault{
		Endpoint: simulator.TokenEndpoint, Times: 1, Latency: simulator.Duration(5 * time.Second),
	})
	require.NoError(t, err)
}

// requireNoOverlap: no request was sent to Salesforce while another one was in flight.
func requireNoOverlap(t *testing.T, calls []simulator.Entry) {
	t.Helper()
	calls = slices.SortedFunc(slices.Values(calls), func(a, b simulator.Entry) int { return a.ReceivedAt.Compare(b.ReceivedAt) })
	for i, call := range calls[1:] {
		require.False(t, calls[i].AnsweredAt.IsZero(), "%s is still in flight", calls[i].Operation)
		require.False(t, call.ReceivedAt.Before(calls[i].AnsweredAt), "%s was sent %s too early",
			call.Operation, calls[i].AnsweredAt.Sub(call.ReceivedAt))
	}
}

// A hang-up waits for the call of a worker that was killed about ten seconds, not for the
// time limit of an attempt.
func TestWorkerKilledInACall(t *testing.T) {
	t.Parallel()
	w, startSecond := newWorkers(t)
	k := w.callOfFirst(t, startSecond)
	require.NoError(t, w.first.cmd.Process.Kill())
	k.hangUp()
	began := time.Now()
	require.Equal(t, conversation.Closed, k.ended().Why)
	t.Logf("End %s after the worker was killed", time.Since(began).Round(10*time.Millisecond))
	require.Equal(t, enumspb.TIMEOUT_TYPE_HEARTBEAT, k.timedOutActivity())
	require.Equal(t, "Inactivate,End", strings.Join(strings.Fields(k.operations()), ","))
	requireNoOverlap(t, k.calls())
}

// A worker that cannot reach Temporal ends its request to Salesforce before another worker
// makes the next call.
func TestWorkerCutOffInACall(t *testing.T) {
	t.Parallel()
	for _, state := range []link.State{link.Cut, link.Stalled} {
		t.Run(fmt.Sprint(state), func(t *testing.T) {
			t.Parallel()
			w, startSecond := newWorkers(t)
			k := w.callOfFirst(t, startSecond)
			w.link.Set(state)
			k.hangUp()
			began := time.Now()
			require.Equal(t, conversation.Closed, k.ended().Why)
			t.Logf("End %s after the worker was cut off", time.Since(began).Round(10*time.Millisecond))
			requireNoOverlap(t, k.calls())
			require.Equal(t, simulator.LostClientGone, k.calls()[0].Lost)
		})
	}
}

// A worker that was stopped with a call before it was sent does not send it afterwards.
func TestWorkerFrozenBeforeItsRequest(t *testing.T) {
	t.Parallel()
	w, startSecond := newWorkers(t)
	w.slowToken(t)
	k := newTalk(t, w.s)
	k.start(conversation.Policy{})
	k.hangUp()
	until(t, "the first worker asks for a token", func() bool { return len(w.s.Sandbox.Journal()) == 1 })
	require.NoError(t, w.first.cmd.Process.Signal(syscall.SIGSTOP))
	startSecond()
	require.Equal(t, conversation.Closed, k.ended().Why)
	require.Equal(t, "End", k.operations())
	require.NoError(t, w.first.cmd.Process.Signal(syscall.SIGCONT))
	until(t, "the first worker gives the call up", func() bool {
		return strings.Contains(get(t, "http://"+w.firstMetrics+"/metrics"), `reason="INTERRUPTED"`)
	})
	require.Equal(t, "End", k.operations())
}

// Conversations that are cached on a worker which was killed react within about a second.
func TestConversationsOfAKilledWorker(t *testing.T) {
	t.Parallel()
	w, startSecond := newWorkers(t)
	var talks []*talk
	for range 10 {
		k := newTalk(t, w.s)
		k.start(conversation.Policy{})
		k.untilPhase(conversation.Active)
		talks = append(talks, k)
	}
	startSecond()
	require.NoError(t, w.first.cmd.Process.Kill())
	longest := time.Duration(0)
	for _, k := range talks {
		k.hangUp()
		began := time.Now()
		require.Equal(t, conversation.Closed, k.ended().Why)
		longest = max(longest, time.Since(began))
	}
	t.Logf("the slowest End came %s after its hang-up", longest.Round(time.Millisecond))
	for _, k := range talks {
		require.Less(t, k.waitForCachedWorker(), 5*time.Second, "the default of the SDK")
	}
}

// timedOutActivity is how the first attempt timed out that did.
func (k *talk) timedOutActivity() enumspb.TimeoutType {
	k.t.Helper()
	for _, event := range k.history("") {
		if timedOut := event.GetActivityTaskTimedOutEventAttributes(); timedOut != nil {
			return timedOut.GetFailure().GetTimeoutFailureInfo().GetTimeoutType()
		}
	}
	return enumspb.TIMEOUT_TYPE_UNSPECIFIED
}

// waitForCachedWorker is how long, by the server's timer, a workflow task waited for the
// worker that had the conversation in its memory.
func (k *talk) waitForCachedWorker() time.Duration {
	k.t.Helper()
	events := k.history("")
	for _, event := range events {
		if timedOut := event.GetWorkflowTaskTimedOutEventAttributes(); timedOut != nil {
			scheduled := events[timedOut.GetScheduledEventId()-1].GetEventTime().AsTime()
			return event.GetEventTime().AsTime().Sub(scheduled)
		}
	}
	return 0
}
