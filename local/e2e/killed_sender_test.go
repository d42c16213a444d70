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
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"sessionkeeper/conversation"
	"sessionkeeper/local/stack"
	"sessionkeeper/sender"
)

const (
	killedConversations = 60
	killedIdle          = 6 * time.Second
	killedInterval      = 50 * time.Millisecond
	// senderEnv names the environment variable that makes this test binary the
	// sender that is killed.
	senderEnv = "SESSIONKEEPER_KILLED_SENDER"
)

// senderInput is what the sender's process gets.
type senderInput struct {
	Temporal      string
	Conversations []conversation.Identity
}

// accepted is what the sender's process prints for each message that was accepted.
type accepted struct {
	Conversation int
	At           time.Time
}

// When a sender is killed while its conversations get messages, none of them is
// made Inactive early. Each is made Inactive after its lease has ended, and no
// lease is longer than the idle time.
func TestKilledSenderMakesNothingInactiveEarly(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	talks := make([]*talk, killedConversations)
	input := senderInput{Temporal: s.TemporalAddress}
	for i := range talks {
		talks[i] = newTalk(t, s)
		input.Conversations = append(input.Conversations, talks[i].id)
	}
	last := runSenderAndKill(t, input, 3*killedIdle/2)

	var latest time.Duration
	for i, k := range talks {
		k.untilCalls(answered(1))
		called := k.calls()[0].ReceivedAt
		require.GreaterOrEqualf(t, called.Sub(last[i]), killedIdle, "conversation %d was made Inactive early", i)
		require.Equal(t, "Inactivate", k.operations())
		latest = max(latest, called.Sub(last[i])-killedIdle)

		lease := lastMessage(t, k.history("")).Lease
		require.NotEmpty(t, lease.Holder, "conversation %d: its last report has no lease", i)
		require.LessOrEqualf(t, time.Duration(lease.Duration), killedIdle, "conversation %d", i)
	}
	t.Logf("the latest Inactivate came %s after its deadline", latest.Round(time.Millisecond))
}

// lastMessage returns the last message signal of a history.
func lastMessage(t *testing.T, events []*historypb.HistoryEvent) conversation.Message {
	t.Helper()
	var last conversation.Message
	for _, e := range events {
		signal := e.GetWorkflowExecutionSignaledEventAttributes()
		if signal.GetSignalName() == conversation.SignalMessage {
			last = conversation.Message{}
			require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(signal.GetInput(), &last))
		}
	}
	return last
}

// runSenderAndKill runs a sender and kills it some time after its first message.
// It returns the time of the last accepted message of each conversation.
func runSenderAndKill(t *testing.T, input senderInput, after time.Duration) []time.Time {
	t.Helper()
	text, err := json.Marshal(input)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	process := exec.CommandContext(t.Context(), self)
	process.Env = append(os.Environ(), senderEnv+"="+string(text))
	out, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())

	// The first message of each conversation is waited for: on a busy machine it
	// takes longer.
	last := make([]time.Time, len(input.Conversations))
	messages, waiting := 0, len(last)
	for lines := bufio.NewScanner(out); lines.Scan(); messages++ {
		var m accepted
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			break // the kill has cut the line short
		}
		if last[m.Conversation].IsZero() {
			if waiting--; waiting == 0 {
				time.AfterFunc(after, func() { _ = process.Process.Kill() })
			}
		}
		if m.At.After(last[m.Conversation]) {
			last[m.Conversation] = m.At
		}
	}
	require.Error(t, process.Wait(), "it was killed")
	require.Zero(t, waiting, "conversations without an accepted message")
	t.Logf("%d messages were accepted", messages)
	return last
}

// sendUntilKilled is the process that is killed.
func sendUntilKilled(text string) error {
	var input senderInput
	if err := json.Unmarshal([]byte(text), &input); err != nil {
		return fmt.Errorf("read the input: %w", err)
	}
	ctx := context.Background()
	temporal, err := client.DialContext(ctx, client.Options{HostPort: input.Temporal, Namespace: stack.Namespace})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	s := sender.New(temporal, sender.Options{
		Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(killedIdle))},
	})
	var talking sync.WaitGroup
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	for i, id := range input.Conversations {
		talking.Go(func() {
			for range time.Tick(killedInterval) {
				m := accepted{Conversation: i, At: time.Now()}
				if _, err := s.Message(ctx, id, conversation.Message{At: m.At}); err != nil {
					continue // it is not accepted, so it does not count
				}
				mu.Lock()
				_ = out.Encode(m)
				mu.Unlock()
			}
		})
	}
	talking.Wait()
	return nil
}
