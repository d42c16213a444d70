package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"sessionkeeper/conversation"
	"sessionkeeper/local/billing"
	"sessionkeeper/local/stack"
	"sessionkeeper/sender"
)

// A chat costs by its length, not by its messages. Half an hour is a minute
// here, and inactivateAfter a third of it.
func TestActionsFollowTimeNotMessages(t *testing.T) {
	if slowed {
		t.Skip("runs without the race detector")
	}
	const (
		chatLength = time.Minute
		most       = 16
	)
	for _, messages := range []int{100, 10_000} {
		for name, hungUp := range map[string]bool{"that goes quiet": false, "that is hung up": true} {
			t.Run(fmt.Sprintf("%d messages of a chat %s", messages, name), func(t *testing.T) {
				t.Parallel()
				k := newTalk(t, sharedStack(t))
				k.Sender = sender.New(k.s.Temporal, sender.Options{})
				defer func() { require.NoError(t, k.Close(t.Context())) }()
				k.start(conversation.Policy{InactivateAfter: new(conversation.Duration(chatLength / 3))})
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
				t.Logf("%d actions, %d events", cost.Actions, cost.Events)
				require.LessOrEqual(t, cost.Actions, most)
			})
		}
	}
}

// chat sends messages evenly, for so long.
func (k *talk) chat(messages int, length time.Duration) {
	k.t.Helper()
	ticker := time.NewTicker(length / time.Duration(messages))
	defer ticker.Stop()
	for range messages {
		<-ticker.C
		_, err := k.Message(k.t.Context(), k.id, conversation.Message{})
		require.NoError(k.t, err)
	}
}

// The burst is of many conversations that are talking when their sender is
// killed.
const (
	burstTalks = 60
	burstIdle  = 6 * time.Second
	burstEvery = 50 * time.Millisecond
	// burstEnv names the environment variable by which a process of this test
	// binary becomes the sender.
	burstEnv = "SESSIONKEEPER_BURST"
)

// burst is what the sender gets on its standard input.
type burst struct {
	Temporal      string
	Conversations []conversation.Identity
}

// told is what the sender says on its standard output for every message that
// was accepted.
type told struct {
	Conversation int
	At           time.Time
}

// No conversation is made Inactive early when its sender is killed in the middle
// of a burst, and none later than a window allows.
func TestKilledSender(t *testing.T) {
	if slowed {
		t.Skip("runs without the race detector")
	}
	t.Parallel()
	s := sharedStack(t)
	talks := make([]*talk, burstTalks)
	b := burst{Temporal: s.TemporalAddress}
	for i := range talks {
		talks[i] = newTalk(t, s)
		b.Conversations = append(b.Conversations, talks[i].id)
	}
	last := killed(t, b, 3*burstIdle/2)

	for i, k := range talks {
		k.untilCalls(answered(1))
		called := k.calls()[0].ReceivedAt
		late := called.Sub(last[i].Add(burstIdle))
		require.GreaterOrEqualf(t, late, time.Duration(0), "conversation %d was made Inactive early", i)
		require.Lessf(t, late, burstIdle/2+10*time.Second, "conversation %d", i)
		require.Equal(t, "Inactivate", k.operations())
	}
}

// killed runs a sender and kills it after so long. It returns when the last
// accepted message of each conversation was.
func killed(t *testing.T, b burst, after time.Duration) []time.Time {
	t.Helper()
	input, err := json.Marshal(b)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	process := exec.CommandContext(t.Context(), self)
	process.Env = append(os.Environ(), burstEnv+"="+string(input))
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())

	last := make([]time.Time, len(b.Conversations))
	messages := 0
	var kill *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); messages++ {
		if kill == nil {
			kill = time.AfterFunc(after, func() { _ = process.Process.Kill() })
		}
		var m told
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			break // cut off by the kill
		}
		if m.At.After(last[m.Conversation]) {
			last[m.Conversation] = m.At
		}
	}
	require.Error(t, process.Wait(), "it was killed")
	t.Logf("%d messages were accepted", messages)
	for i := range last {
		require.NotZerof(t, last[i], "conversation %d said nothing", i)
	}
	return last
}

// sendBurst is the process that is killed.
func sendBurst(input string) error {
	var b burst
	if err := json.Unmarshal([]byte(input), &b); err != nil {
		return fmt.Errorf("read the burst: %w", err)
	}
	ctx := context.Background()
	temporal, err := client.DialContext(ctx, client.Options{HostPort: b.Temporal, Namespace: stack.Namespace})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	s := sender.New(temporal, sender.Options{Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(burstIdle))}})
	var talking sync.WaitGroup
	var out sync.Mutex
	accepted := json.NewEncoder(os.Stdout)
	for i, id := range b.Conversations {
		talking.Go(func() {
			for range time.Tick(burstEvery) {
				m := told{Conversation: i, At: time.Now()}
				if _, err := s.Message(ctx, id, conversation.Message{At: m.At}); err != nil {
					continue
				}
				out.Lock()
				_ = accepted.Encode(m)
				out.Unlock()
			}
		})
	}
	talking.Wait()
	return nil
}
