package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"sessionkeeper/conversation"
)

// A message costs at most four events, even when each has a workflow task of
// its own, and no timer.
func TestCostOfMessages(t *testing.T) {
	t.Parallel()
	const messages = 100
	quiet, lively := withMessages(t, 0), withMessages(t, messages)
	perMessage := float64(len(lively)-len(quiet)) / messages
	t.Logf("%d events without messages, %.2f for each message", len(quiet), perMessage)
	require.LessOrEqual(t, perMessage, 4.0)
	require.Equal(t, 1, count(quiet, enumspb.EVENT_TYPE_TIMER_STARTED))
	require.Equal(t, 1, count(lively, enumspb.EVENT_TYPE_TIMER_STARTED))
}

// withMessages is the history of a conversation that was closed within its
// first idle window.
func withMessages(t *testing.T, messages int) []*historypb.HistoryEvent {
	t.Helper()
	k := newTalk(t, sharedStack(t))
	k.start(conversation.Policy{})
	k.untilPhase(conversation.Active)
	for range messages {
		at := time.Now().UTC()
		_, err := k.Message(t.Context(), k.id, conversation.Message{At: at})
		require.NoError(t, err)
		until(t, "it is taken in", func() bool { return k.status().LastMessageAt.Equal(at) })
	}
	k.hangUp()
	k.ended()
	return k.history("")
}
