// Package bench_test measures what a conversation costs, how fast a hang-up
// reaches Salesforce and how a burst is processed, compared with simpler designs on
// the same server.
package bench_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.uber.org/zap"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/service"
	"sessionkeeper/local/billing"
	"sessionkeeper/local/internal/testlog"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
	"sessionkeeper/sender"
)

const baselineQueue = "baseline"

// rig is a stack with a second worker for the baselines.
type rig struct {
	*stack.Stack
	sender *sender.Sender
}

func newRig(b *testing.B) rig {
	b.Helper()
	var tail testlog.Tail
	s, err := stack.Start(b.Context(), stack.Options{ServerLogger: tail.Logger()})
	require.NoError(b, err)
	b.Cleanup(s.Stop)
	tail.ShowOnFailure(b)
	w := worker.New(s.Temporal, baselineQueue, worker.Options{
		WorkflowTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		ActivityTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
	})
	w.RegisterWorkflow(resetPerMessage)
	w.RegisterWorkflow(smallest)
	w.RegisterActivity(activities.New(service.NewOrgs(s.Config, "bench", zap.NewNop())))
	require.NoError(b, w.Start())
	b.Cleanup(w.Stop)
	return rig{Stack: s, sender: sender.New(s.Temporal, sender.Options{Window: new(conversation.Duration(0))})}
}

var counter atomic.Int64

// next returns the start of another conversation, with a session in the sandbox.
func (r rig) next(b *testing.B) conversation.Start {
	b.Helper()
	n := counter.Add(1)
	id := conversation.Identity{
		OrgID: simulator.DemoOrgID, AuthorizationContext: simulator.DemoAuthorizationContext,
		ChannelAddressIdentifier: simulator.DemoChannelAddress, EndUserClientID: fmt.Sprintf("visitor-%d", n),
		ConversationIdentifier: fmt.Sprintf("bench-%d", n), SessionID: fmt.Sprintf("0Mw%012dAAA", n),
	}
	_, err := r.Sandbox.CreateSession(id.OrgID, simulator.Session{
		ID: id.SessionID, ConversationIdentifier: id.ConversationIdentifier,
		ChannelAddressIdentifier: id.ChannelAddressIdentifier, EndUserClientID: id.EndUserClientID,
		Status: simulator.StatusActive,
	})
	require.NoError(b, err)
	return conversation.Start{Identity: id}
}

// design is a workflow to measure.
type design struct {
	name  string
	start func(ctx context.Context, r rig, s conversation.Start) error
}

var (
	ours = design{"sessionkeeper", func(ctx context.Context, r rig, s conversation.Start) error {
		_, err := r.sender.Start(ctx, s)
		return err
	}}
	reset  = baseline("reset-per-message", resetPerMessage)
	simple = baseline("smallest", smallest)
)

func baseline(name string, workflow any) design {
	return design{name, func(ctx context.Context, r rig, s conversation.Start) error {
		options := client.StartWorkflowOptions{ID: s.WorkflowID(), TaskQueue: baselineQueue}
		_, err := r.Temporal.ExecuteWorkflow(ctx, options, workflow, s)
		return err
	}}
}

// signal signals the workflow of a conversation.
func (r rig) signal(b *testing.B, s conversation.Start, name string, payload any) {
	b.Helper()
	require.NoError(b, r.Temporal.SignalWorkflow(b.Context(), s.WorkflowID(), "", name, payload))
}

// BenchmarkHistory counts the history events and billable actions of one
// conversation that gets messages within one idle window and is then closed.
func BenchmarkHistory(b *testing.B) {
	r := newRig(b)
	for _, messages := range []int{1, 10, 100, 1000} {
		for _, d := range []design{ours, reset} {
			b.Run(fmt.Sprintf("messages=%d/%s", messages, d.name), func(b *testing.B) {
				var total billing.Cost
				for b.Loop() {
					total = r.play(b, d, messages)
				}
				b.ReportMetric(float64(total.Events), "events/conversation")
				b.ReportMetric(float64(total.Actions), "actions/conversation")
				b.ReportMetric(float64(total.Timers), "timers/conversation")
			})
		}
	}
}

// play plays one conversation. Each message is sent after the workflow has
// processed the one before, because people write slowly.
func (r rig) play(b *testing.B, d design, messages int) billing.Cost {
	b.Helper()
	start := r.next(b)
	require.NoError(b, d.start(b.Context(), r, start))
	r.waitUntilProcessed(b, start.WorkflowID())
	for range messages {
		r.signal(b, start, conversation.SignalMessage, conversation.Message{})
		r.waitUntilProcessed(b, start.WorkflowID())
	}
	r.signal(b, start, conversation.SignalClose, conversation.Close{By: conversation.EndUser})
	require.NoError(b, r.Temporal.GetWorkflow(b.Context(), start.WorkflowID(), "").Get(b.Context(), nil))
	total, err := billing.Of(b.Context(), r.Temporal, start.WorkflowID())
	require.NoError(b, err)
	return total
}

// waitUntilProcessed waits until no workflow task is pending.
func (r rig) waitUntilProcessed(b *testing.B, workflowID string) {
	b.Helper()
	require.Eventually(b, func() bool {
		d, err := r.Temporal.DescribeWorkflowExecution(b.Context(), workflowID, "")
		return err == nil && d.GetPendingWorkflowTask() == nil
	}, 30*time.Second, 5*time.Millisecond)
}

// BenchmarkHangUp measures the time from a hang-up to the call: from before the
// signal is sent until the sandbox has received the request.
func BenchmarkHangUp(b *testing.B) {
	r := newRig(b)
	for _, d := range []design{simple, ours} {
		b.Run(d.name, func(b *testing.B) {
			var latencies []time.Duration
			for b.Loop() {
				latencies = append(latencies, r.hangUp(b, d))
			}
			slices.Sort(latencies)
			at := func(share float64) float64 {
				return float64(latencies[int(share*float64(len(latencies)-1))].Microseconds()) / 1000
			}
			b.ReportMetric(at(0.5), "p50-ms")
			b.ReportMetric(at(0.99), "p99-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func (r rig) hangUp(b *testing.B, d design) time.Duration {
	b.Helper()
	start := r.next(b)
	require.NoError(b, d.start(b.Context(), r, start))
	r.waitUntilProcessed(b, start.WorkflowID())
	r.Sandbox.ClearJournal()
	began := time.Now()
	r.signal(b, start, conversation.SignalClose, conversation.Close{By: conversation.EndUser})
	var received time.Time
	require.NoError(b, r.Sandbox.Wait(b.Context(), func(journal []simulator.Entry) bool {
		for _, e := range journal {
			if e.ConversationIdentifier == start.ConversationIdentifier {
				received = e.ReceivedAt
			}
		}
		return !received.IsZero()
	}))
	require.NoError(b, r.Temporal.GetWorkflow(b.Context(), start.WorkflowID(), "").Get(b.Context(), nil))
	return received.Sub(began)
}
