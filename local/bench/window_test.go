package bench_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"sessionkeeper/conversation"
	"sessionkeeper/local/billing"
	"sessionkeeper/sandbox/simulator"
	"sessionkeeper/sender"
)

// A chat of half an hour with an inactivateAfter of ten minutes, thirty times
// faster.
const (
	chatLength      = time.Minute
	inactivateAfter = 20 * time.Second
)

// BenchmarkWindow prints, for windows of a quarter, a half and all of
// inactivateAfter, what a chat costs and how late Inactivate is after the sender
// was killed.
func BenchmarkWindow(b *testing.B) {
	r := newRig(b)
	for _, part := range []int{4, 2, 1} {
		b.Run(fmt.Sprintf("T÷%d", part), func(b *testing.B) {
			for b.Loop() {
				r.windowCurve(b, inactivateAfter/time.Duration(part))
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// windowCurve plays chats with one window, all at the same time.
func (r rig) windowCurve(b *testing.B, window time.Duration) {
	b.Helper()
	const killed = 40
	var mu sync.Mutex
	late := make([]time.Duration, 0, killed)
	chats := new(errgroup.Group)
	for _, messages := range []int{100, 5_000} {
		for name, hungUp := range map[string]bool{"Inactive": false, "Ended": true} {
			chats.Go(func() error {
				cost, err := r.chat(b, window, messages, hungUp)
				mu.Lock()
				defer mu.Unlock()
				b.ReportMetric(float64(cost.Actions), fmt.Sprintf("actions-until-%s/%d", name, messages))
				b.ReportMetric(float64(cost.Events), fmt.Sprintf("events-until-%s/%d", name, messages))
				return err
			})
		}
	}
	for range killed {
		chats.Go(func() error {
			lateness, err := r.kill(b, window)
			mu.Lock()
			defer mu.Unlock()
			late = append(late, lateness)
			return err
		})
	}
	require.NoError(b, chats.Wait())
	slices.Sort(late)
	b.ReportMetric(late[0].Seconds()/inactivateAfter.Seconds(), "T-late-least")
	b.ReportMetric(late[killed/2].Seconds()/inactivateAfter.Seconds(), "T-late-median")
	b.ReportMetric(late[killed-1].Seconds()/inactivateAfter.Seconds(), "T-late-most")
}

func (r rig) windowed(window time.Duration) *sender.Sender {
	return sender.New(r.Temporal, sender.Options{
		Window: new(conversation.Duration(window)),
		Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(inactivateAfter))},
	})
}

// talk starts a conversation and sends messages evenly during a time. It returns
// when the last one was written.
func (r rig) talk(
	b *testing.B, s *sender.Sender, messages int, length time.Duration,
) (conversation.Identity, time.Time, error) {
	b.Helper()
	ctx := b.Context()
	start := r.next(b)
	start.Policy.InactivateAfter = new(conversation.Duration(inactivateAfter))
	_, err := s.Start(ctx, start)
	ticker := time.NewTicker(length / time.Duration(messages))
	defer ticker.Stop()
	var last time.Time
	for i := 0; i < messages && err == nil; i++ {
		last = <-ticker.C
		_, err = s.Message(ctx, start.Identity, conversation.Message{At: last})
	}
	return start.Identity, last, err
}

// chat plays one chat until the conversation is Inactive, or hung up and Ended.
func (r rig) chat(b *testing.B, window time.Duration, messages int, hungUp bool) (billing.Cost, error) {
	b.Helper()
	s := r.windowed(window)
	id, _, err := r.talk(b, s, messages, chatLength)
	if err != nil {
		return billing.Cost{}, err
	}
	if hungUp {
		_, err = s.CloseAndWait(b.Context(), id, conversation.Close{By: conversation.EndUser})
	} else {
		_, err = r.inactivated(b.Context(), id)
		waitUntilPhase(b, s, id, conversation.Inactive)
	}
	if err != nil {
		return billing.Cost{}, err
	}
	return billing.Of(b.Context(), r.Temporal, id.WorkflowID())
}

// kill plays a chat whose sender stops at a random moment, as if it were killed.
// It returns how much later than inactivateAfter after the last message the
// Inactivate arrived.
func (r rig) kill(b *testing.B, window time.Duration) (time.Duration, error) {
	b.Helper()
	s := r.windowed(window)
	length := inactivateAfter + rand.N(inactivateAfter)
	id, last, err := r.talk(b, s, int(length/(inactivateAfter/40)), length)
	if err != nil {
		return 0, err
	}
	killed, cancel := context.WithCancel(b.Context())
	cancel()
	_ = s.Close(killed)
	at, err := r.inactivated(b.Context(), id)
	return at.Sub(last.Add(inactivateAfter)), err
}

// inactivated waits for the Inactivate of a conversation.
func (r rig) inactivated(ctx context.Context, id conversation.Identity) (at time.Time, err error) {
	err = r.Sandbox.Wait(ctx, func(journal []simulator.Entry) bool {
		for _, e := range journal {
			if e.ConversationIdentifier == id.ConversationIdentifier && e.Operation == string(simulator.Inactivate) {
				at = e.ReceivedAt
			}
		}
		return !at.IsZero()
	})
	return at, err
}

func waitUntilPhase(b *testing.B, s *sender.Sender, id conversation.Identity, phase conversation.Phase) {
	b.Helper()
	require.Eventually(b, func() bool {
		status, err := s.Status(b.Context(), id)
		return err == nil && status.Phase == phase
	}, time.Minute, 50*time.Millisecond)
}
