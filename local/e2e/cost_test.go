package e2e_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"sessionkeeper/conversation"
	"sessionkeeper/local/billing"
	"sessionkeeper/sender"
)

// Without a window a message costs four events, even when each has a workflow
// task of its own: the signal and the three events of the task. It starts no
// timer and writes no search attribute.
func TestMessageCostsFourEvents(t *testing.T) {
	t.Parallel()
	const messages = 100
	without, with := withMessages(t, 0), withMessages(t, messages)
	t.Logf("%d events without messages, %.2f for each message", len(without), float64(len(with)-len(without))/messages)
	require.LessOrEqual(t, count(with, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED),
		count(without, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)+messages)
	require.Equal(t, count(without, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)+messages,
		count(with, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED))
	require.Equal(t, 1, count(without, enumspb.EVENT_TYPE_TIMER_STARTED))
	for _, kind := range []enumspb.EventType{
		enumspb.EVENT_TYPE_TIMER_STARTED, enumspb.EVENT_TYPE_TIMER_FIRED, enumspb.EVENT_TYPE_TIMER_CANCELED,
		enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, enumspb.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
		enumspb.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED, enumspb.EVENT_TYPE_MARKER_RECORDED,
	} {
		require.Equal(t, count(without, kind), count(with, kind), kind)
	}
}

// withMessages returns the history of a conversation that was closed before its
// idle deadline.
func withMessages(t *testing.T, messages int) []*historypb.HistoryEvent {
	t.Helper()
	k := newTalk(t, sharedStack(t))
	k.start(conversation.Policy{})
	k.untilPhase(conversation.Active)
	for range messages {
		at := time.Now().UTC()
		k.send(func(ctx context.Context) (sender.Receipt, error) {
			return k.Message(ctx, k.id, conversation.Message{At: at})
		})
		until(t, "the workflow has the message", func() bool { return k.status().LastMessageAt.Equal(at) })
	}
	k.hangUp()
	k.ended()
	return k.history("")
}

// With windows the cost follows time: per window of a chat one report, and one
// timer at most, however many messages there are.
func TestActionsFollowTimeNotMessages(t *testing.T) {
	t.Parallel()
	const (
		chatLength = 20 * time.Second
		idle       = 8 * time.Second
		window     = idle / 2
		// A start, the first report, and for Inactive and for Ended a call and a
		// write of a search attribute each.
		fixed = 6
	)
	for _, messages := range []int{100, 5_000} {
		for name, hungUp := range map[string]bool{"is made Inactive": false, "is ended": true} {
			t.Run(fmt.Sprintf("chat of %d messages that %s", messages, name), func(t *testing.T) {
				t.Parallel()
				k := newTalk(t, sharedStack(t))
				k.Sender = sender.New(k.s.Temporal, sender.Options{Window: new(conversation.Duration(window))})
				defer func() { require.NoError(t, k.Close(t.Context())) }()
				began := time.Now()
				k.start(conversation.Policy{InactivateAfter: new(conversation.Duration(idle))})
				k.chat(messages, chatLength)
				if hungUp {
					k.hangUp()
					k.ended()
				} else {
					k.untilPhase(conversation.Inactive)
				}
				var cost billing.Cost
				for _, event := range k.history("") {
					cost.Add(event)
				}
				// A busy machine makes the chat last longer.
				windows := int(time.Since(began)/window) + 1
				t.Logf("%d actions, %d events in %d windows", cost.Actions, cost.Events, windows)
				require.LessOrEqual(t, cost.Actions, fixed+2*windows)
			})
		}
	}
}

// chat sends messages evenly during a time.
func (k *talk) chat(messages int, length time.Duration) {
	k.t.Helper()
	ticker := time.NewTicker(length / time.Duration(messages))
	defer ticker.Stop()
	for range messages {
		<-ticker.C
		_, err := retry(k.t.Context(), func(ctx context.Context) (sender.Receipt, error) {
			return k.Message(ctx, k.id, conversation.Message{})
		})
		require.NoError(k.t, err)
	}
}
