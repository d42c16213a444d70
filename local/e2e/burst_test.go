package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"golang.org/x/sync/errgroup"

	"sessionkeeper/conversation"
	"sessionkeeper/local/stack"
)

// A thousand conversations start at once and close at once: all end, and none
// waits undispatched.
func TestBurst(t *testing.T) {
	const conversations, atOnce, longest = 1000, 64, 10 * time.Second
	s := ownStack(t, stack.Options{})
	burst := make([]*talk, conversations)
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
		_, err := k.Close(t.Context(), k.id, conversation.Close{By: conversation.EndUser})
		return err
	})
	all("ended", func(k *talk) error { return k.result(nil) })

	var task, call time.Duration
	for _, k := range burst {
		events := k.history("")
		task = max(task, waited(events, func(e *historypb.HistoryEvent) int64 {
			return e.GetWorkflowTaskStartedEventAttributes().GetScheduledEventId()
		}))
		call = max(call, waited(events, func(e *historypb.HistoryEvent) int64 {
			return e.GetActivityTaskStartedEventAttributes().GetScheduledEventId()
		}))
	}
	t.Logf("longest wait of a workflow task %s, of a call %s", task, call)
	require.Less(t, task, longest)
	require.Less(t, call, longest)
	require.Len(t, s.Sandbox.Journal(), conversations+1, "one call each, and one token")
}

// waited is the longest time between an event and the one that scheduled it.
func waited(events []*historypb.HistoryEvent, scheduledBy func(*historypb.HistoryEvent) int64) time.Duration {
	var longest time.Duration
	for _, e := range events {
		if id := scheduledBy(e); id > 0 {
			longest = max(longest, e.GetEventTime().AsTime().Sub(events[id-1].GetEventTime().AsTime()))
		}
	}
	return longest
}
