package bench_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"golang.org/x/sync/errgroup"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

// BenchmarkBurst starts many conversations at once and closes them at once. It
// measures how long that takes, and how long tasks wait until a worker gets them.
func BenchmarkBurst(b *testing.B) {
	const conversations = 1000
	r := newRig(b)
	var total time.Duration
	var tasks, calls []wait
	for b.Loop() {
		starts := make([]conversation.Start, conversations)
		for i := range starts {
			starts[i] = r.next(b)
		}
		began := time.Now()
		forEach(b, starts, r.sender.Start)
		forEach(b, starts, func(ctx context.Context, s conversation.Start) (sender.Receipt, error) {
			return r.sender.CloseConversation(ctx, s.Identity, conversation.Close{By: conversation.EndUser})
		})
		for _, s := range starts {
			require.NoError(b, r.Temporal.GetWorkflow(b.Context(), s.WorkflowID(), "").Get(b.Context(), nil))
		}
		total += time.Since(began)
		for _, s := range starts {
			events := r.history(b, s.WorkflowID())
			tasks = append(tasks, waits(events, func(e *historypb.HistoryEvent) int64 {
				return e.GetWorkflowTaskStartedEventAttributes().GetScheduledEventId()
			})...)
			calls = append(calls, waits(events, func(e *historypb.HistoryEvent) int64 {
				return e.GetActivityTaskStartedEventAttributes().GetScheduledEventId()
			})...)
		}
	}
	b.ReportMetric(total.Seconds()/float64(b.N), "until-all-ended-s")
	b.ReportMetric(longest(tasks).Seconds(), "workflow-task-wait-s")
	b.ReportMetric(longest(calls).Seconds(), "call-wait-s")
	b.ReportMetric(longestStandstill(tasks).Seconds(), "standstill-s")
	b.ReportMetric(0, "ns/op")
}

// forEach sends an event of every conversation, 16 at once, again while the error
// is retryable.
func forEach(
	b *testing.B, starts []conversation.Start, send func(context.Context, conversation.Start) (sender.Receipt, error),
) {
	b.Helper()
	group, ctx := errgroup.WithContext(b.Context())
	group.SetLimit(16)
	for _, s := range starts {
		group.Go(func() error {
			_, err := backoff.Retry(ctx, func() (sender.Receipt, error) {
				receipt, err := send(ctx, s)
				if err != nil && !sender.IsRetryable(err) {
					return receipt, backoff.Permanent(err)
				}
				return receipt, err
			})
			return err
		})
	}
	require.NoError(b, group.Wait())
}

func (r rig) history(b *testing.B, workflowID string) []*historypb.HistoryEvent {
	b.Helper()
	var events []*historypb.HistoryEvent
	all := r.Temporal.GetWorkflowHistory(b.Context(), workflowID, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for all.HasNext() {
		event, err := all.Next()
		require.NoError(b, err)
		events = append(events, event)
	}
	return events
}

// wait is the time from the scheduling of a task to its dispatch.
type wait struct{ scheduled, started time.Time }

// waits returns the waits of a history's tasks. scheduledBy returns the event that
// scheduled the task which an event starts, or 0.
func waits(events []*historypb.HistoryEvent, scheduledBy func(*historypb.HistoryEvent) int64) []wait {
	var found []wait
	for _, e := range events {
		if id := scheduledBy(e); id > 0 {
			found = append(found, wait{events[id-1].GetEventTime().AsTime(), e.GetEventTime().AsTime()})
		}
	}
	return found
}

func longest(all []wait) time.Duration {
	var longest time.Duration
	for _, w := range all {
		longest = max(longest, w.started.Sub(w.scheduled))
	}
	return longest
}

// longestStandstill returns the longest time in which a task waited and none was
// dispatched. On a busy machine tasks wait for each other; in a standstill they
// wait because no worker asks for them.
func longestStandstill(all []wait) time.Duration {
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
