package sender_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/seal"
	"sessionkeeper/internal/temporaltest"
	"sessionkeeper/sender"
)

// An event for a conversation whose outcome is sealed with a key that is not there yet is
// not refused for good: it may be sent again.
func TestOutcomeThatLacksItsKeyIsRetryable(t *testing.T) {
	ownKeys, otherKeys := newKeys(t), newKeys(t)
	server := temporaltest.Start(t)
	options := client.Options{HostPort: server.Addr}
	seal.Apply(&options, ownKeys)
	temporal, err := client.NewLazyClient(options)
	require.NoError(t, err)
	t.Cleanup(temporal.Close)
	s := sender.New(temporal, sender.Options{Window: new(conversation.Duration(0)), DataConverter: options.DataConverter})
	run := temporaltest.Run{
		WorkflowID: full.WorkflowID(), Ended: after, Codec: seal.NewCodec(otherKeys),
		Outcome: &conversation.Outcome{Why: conversation.Closed, EndsEventsUntil: end, SessionID: session},
	}
	server.SetLastRun(run)
	_, err = message(t.Context(), s, before, session)
	require.ErrorIs(t, err, seal.ErrKeyMissing)
	require.True(t, sender.IsRetryable(err))

	run.Codec = seal.NewCodec(ownKeys)
	server.SetLastRun(run)
	receipt, err := message(t.Context(), s, before, session)
	require.NoError(t, err)
	require.Equal(t, sender.AlreadyOver, receipt)
}

func newKeys(t *testing.T) *seal.Keys {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	_, err := seal.NewFile(path)
	require.NoError(t, err)
	keys, err := seal.ReadKeys(path)
	require.NoError(t, err)
	return keys
}
