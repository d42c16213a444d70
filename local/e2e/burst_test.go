package e2e_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"golang.org/x/sync/errgroup"

	"sessionkeeper/conversation"
	"sessionkeeper/local/stack"
)

// Many conversations start at once and close at once: all end, and none
// waits undispatched.
func TestBurst(t *testing.T) {
	const atOnce = 16
	s := ownStack(t, stack.Options{})
	burst := make([]*talk, burstSize)
	for i := range burst {
		burst[i] = newTalk(t, s)
	}
	all := func(what string, tell func(k *talk) error) {
		t.Helper()
		began := time.Now()
		group := new(errgroup.Group)
		group.SetLimit(atOnce)
		for _, k := range burst {
			group.Go(func() error { return tell(k) })
		}
		require.NoError(t, group.Wait())
		t.Logf("%s: %s", what, time.Since(began).Round(time.Millisecond))
	}
	all("started", func(k *talk) error {
		_, err := k.Start(t.Context(), conversation.Start{Identity: k.id})
		return err
	})
	all("closed", func(k *talk) error {
		_, err := k.CloseConversation(t.Context(), k.id, conversation.Close{By: conversation.EndUser})
		return err
	})
	all("ended", func(k *talk) error { return k.result(nil) })

	var tasks, calls []wait
	for _, k := range burst {
		events := k.history("")
		tasks = append(tasks, waits(events, func(e *historypb.HistoryEvent) int64 {
			return e.GetWorkflowTaskStartedEventAttributes().GetScheduledEventId()
		})...)
		calls = append(calls, waits(events, func(e *historypb.HistoryEvent) int64 {
			return e.GetActivityTaskStartedEventAttributes().GetScheduledEventId()
		})...)
	}
	require.Len(t, calls, burstSize)
	t.Logf("longest wait of a workflow task %s, of a call %s", longestOf(tasks), longestOf(calls))
	t.Logf("longest time in which workflow tasks waited and none was dispatched: %s", standstill(tasks))
	require.Less(t, longestOf(calls), burstWait)
	require.Less(t, standstill(tasks), burstWait)
	require.Len(t, s.Sandbox.Journal(), burstSize+1, "one call each, and one token")
}

// wait is the time from the scheduling of a task to its dispatch.
type wait struct{ scheduled, started time.Time }

// waits are those of a history's tasks, told by what scheduled them.
func waits(events []*historypb.HistoryEvent, scheduledBy func(*historypb.HistoryEvent) int64) []wait {
	var found []wait
	for _, e := range events {
		if id := scheduledBy(e); id > 0 {
			found = append(found, wait{events[id-1].GetEventTime().AsTime(), e.GetEventTime().AsTime()})
		}
	}
	return found
}

func longestOf(all []wait) time.Duration {
	var longest time.Duration
	for _, w := range all {
		longest = max(longest, w.started.Sub(w.scheduled))
	}
	return longest
}

// standstill is the longest time in which a task waited and none was dispatched.
// A busy machine makes tasks wait for each other; only a worker that does not
// ask for them lets them wait while it does nothing.
func standstill(all []wait) time.Duration {
	slices.SortFunc(all, func(a, b wait) int { return a.started.Compare(b.started) })
	var longest time.Duration
	var before time.Time
	for _, w := range all {
		since := w.scheduled
		if before.After(since) {
			since = before
		}
		longest = max(longest, w.started.Sub(since))
		before = w.started
	}
	return longest
}
