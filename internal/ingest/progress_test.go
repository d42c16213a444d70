package ingest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/sender"
)

func TestProgressInOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewProgress()
		require.Equal(t, "0 events (0/s), 0 conversations, 0 rejected", p.String())
		time.Sleep(2 * time.Second) // virtual time
		for _, receipt := range []sender.Receipt{sender.Sent, sender.Sent, sender.AlreadyOver, sender.NotTracked} {
			p.addReceipt(receipt)
		}
		p.addConversation(1)
		p.addConversation(2)
		p.addConversation(1)
		p.rejected.Add(3)
		p.waits.Add(5)
		require.Equal(t, "4 events (2/s), 2 conversations, 3 rejected, 1 already over, 1 not tracked, 5 waits for Temporal",
			p.String())
		require.Equal(t, int64(4), p.Events())
		require.Equal(t, int64(3), p.Rejected())
	})
}
