package receiver_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

func TestEventsOfConversationAreSentInOrder(t *testing.T) {
	srv := startServer(t)
	at := time.Now().Add(-time.Second)
	var events []string
	for _, kind := range []string{"started", "message", "message", "closed"} {
		for c := range 100 {
			at = at.Add(time.Millisecond)
			events = append(events, event(kind, fmt.Sprintf("c%d", c), at))
		}
	}
	got := srv.post(t, batchType, batch(events...)).accepted(t)
	require.Equal(t, accepted{400, map[sender.Receipt]int{sender.Sent: 300, sender.Absorbed: 100}}, got)
	for c := range 100 {
		want := []string{
			conversation.SignalStart, conversation.SignalMessage, conversation.SignalMessage, conversation.SignalClose,
		}
		require.Equal(t, want, srv.signals(fmt.Sprintf("c%d", c)), "the absorbed message is reported before the close")
	}
}

func TestRepeatedEventsAreAbsorbed(t *testing.T) {
	srv := startServer(t)
	text := batch(message("c1"), message("c1"))
	srv.post(t, batchType, text).accepted(t)
	require.Equal(t, accepted{2, map[sender.Receipt]int{sender.Absorbed: 2}}, srv.post(t, batchType, text).accepted(t))
	require.Len(t, srv.signals("c1"), 1)
}
