package e2e_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"sessionkeeper/conversation"
	"sessionkeeper/local/stack"
	"sessionkeeper/sender"
)

// Many conversations start at once and close at once: each one is ended by one
// call. How long that takes is measured by BenchmarkBurst.
func TestManyConversationsAtOnce(t *testing.T) {
	const conversations, concurrency = 200, 16
	s := ownStack(t, stack.Options{})
	talks := make([]*talk, conversations)
	for i := range talks {
		talks[i] = newTalk(t, s)
	}
	forEach := func(do func(ctx context.Context, k *talk) (sender.Receipt, error)) {
		t.Helper()
		group := new(errgroup.Group)
		group.SetLimit(concurrency)
		for _, k := range talks {
			group.Go(func() error {
				_, err := retry(t.Context(), func(ctx context.Context) (sender.Receipt, error) { return do(ctx, k) })
				return err
			})
		}
		require.NoError(t, group.Wait())
	}
	forEach(func(ctx context.Context, k *talk) (sender.Receipt, error) {
		return k.Start(ctx, conversation.Start{Identity: k.id})
	})
	forEach(func(ctx context.Context, k *talk) (sender.Receipt, error) {
		return k.CloseConversation(ctx, k.id, conversation.Close{By: conversation.EndUser})
	})
	for _, k := range talks {
		require.Equal(t, conversation.Closed, k.ended().Why)
		require.Equal(t, "End", k.operations())
	}
	require.Len(t, s.Sandbox.Journal(), conversations+1, "one call each, and one token")
}
