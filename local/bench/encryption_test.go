package bench_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/seal"
	"sessionkeeper/local/internal/testlog"
	"sessionkeeper/local/stack"
	"sessionkeeper/sender"
)

// BenchmarkEncryption measures what encrypted payloads cost: the CPU time of a
// conversation with ten messages, in the worker, the sender, Temporal and the sandbox
// together, and the bytes of its history and of the database. With and without keys take
// turns.
func BenchmarkEncryption(b *testing.B) {
	path := filepath.Join(b.TempDir(), "keys.json")
	_, err := seal.NewFile(path)
	require.NoError(b, err)
	keys, err := seal.ReadKeys(path)
	require.NoError(b, err)
	var plain, encrypted usage
	for b.Loop() {
		for range 3 {
			plain.add(measure(b, nil))
			encrypted.add(measure(b, keys))
		}
	}
	for name, u := range map[string]usage{"plain": plain, "encrypted": encrypted} {
		b.ReportMetric(u.cpu.Seconds()*1000/u.conversations, name+"-CPU-ms")
		b.ReportMetric(u.history/u.conversations, name+"-history-bytes")
		b.ReportMetric(u.database/u.conversations, name+"-database-bytes")
	}
	b.ReportMetric(0, "ns/op")
}

// usage is what conversations have used.
type usage struct {
	conversations, history, database float64
	cpu                              time.Duration
}

func (u *usage) add(other usage) {
	u.conversations += other.conversations
	u.history += other.history
	u.database += other.database
	u.cpu += other.cpu
}

// measure plays conversations on a new database.
func measure(b *testing.B, keys *seal.Keys) usage {
	b.Helper()
	const conversations, messages = 300, 10
	file := filepath.Join(b.TempDir(), "temporal.db")
	var tail testlog.Tail
	s, err := stack.Start(b.Context(), stack.Options{DBFile: file, Keys: keys, ServerLogger: tail.Logger()})
	require.NoError(b, err)
	defer s.Stop()
	tail.ShowOnFailure(b)
	var options client.Options
	seal.Apply(&options, keys)
	r := rig{Stack: s, sender: sender.New(s.Temporal, sender.Options{
		Window: new(conversation.Duration(0)), DataConverter: options.DataConverter,
	})}
	starts := make([]conversation.Start, conversations)
	for i := range starts {
		starts[i] = r.next(b)
	}
	empty := size(b, file)
	began := cpuTime(b)
	forEach(b, starts, r.sender.Start)
	for range messages {
		forEach(b, starts, func(ctx context.Context, start conversation.Start) (sender.Receipt, error) {
			return r.sender.Message(ctx, start.Identity, conversation.Message{})
		})
	}
	forEach(b, starts, func(ctx context.Context, start conversation.Start) (sender.Receipt, error) {
		return r.sender.CloseConversation(ctx, start.Identity, conversation.Close{By: conversation.EndUser})
	})
	used := usage{conversations: conversations}
	for _, start := range starts {
		require.NoError(b, s.Temporal.GetWorkflow(b.Context(), start.WorkflowID(), "").Get(b.Context(), nil))
	}
	used.cpu = cpuTime(b) - began
	for _, start := range starts {
		described, err := s.Temporal.DescribeWorkflowExecution(b.Context(), start.WorkflowID(), "")
		require.NoError(b, err)
		used.history += float64(described.GetWorkflowExecutionInfo().GetHistorySizeBytes())
	}
	s.Stop()
	used.database = size(b, file) - empty
	return used
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// size is the size of a database with its log.
func size(b *testing.B, file string) (bytes float64) {
	b.Helper()
	names, err := filepath.Glob(file + "*")
	require.NoError(b, err)
	for _, name := range names {
		info, err := os.Stat(name)
		require.NoError(b, err)
		bytes += float64(info.Size())
	}
	return bytes
}
