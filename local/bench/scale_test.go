package bench_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
)

var (
	openConversations = flag.Int("bench.conversations", 3000, "how many conversations are open in BenchmarkScale")
	rest              = flag.Duration("bench.rest", 30*time.Second, "how long BenchmarkScale measures the CPU at rest")
)

// BenchmarkScale opens many conversations of 300 orgs, and measures how fast they start, what
// they take in the database, in the worker's memory and in CPU while nothing happens, and how
// many calls a second can come due until they are late. The worker is a process of its own
// and keeps a tenth of the conversations in its cache. Temporal has a database file.
func BenchmarkScale(b *testing.B) {
	const orgs = 300
	database := filepath.Join(b.TempDir(), "temporal.db")
	r := newOrgRigOn(b, database, orgs, 0, func(*simulator.Config) {}, nil)
	w := r.startProcess(b, *openConversations/10)
	for b.Loop() {
		var all []conversation.Start
		for n := range *openConversations {
			s := r.starts(b, n%orgs, 1)[0]
			s.Policy.InactivateAfter = new(conversation.Duration(24 * time.Hour)) // nothing comes due
			all = append(all, s)
		}
		before := sizeOf(b, database)
		began := time.Now()
		forEach(b, all, r.sender.Start)
		b.ReportMetric(float64(len(all))/time.Since(began).Seconds(), "starts/s")
		r.untilQuiet(b)
		b.ReportMetric(float64(sizeOf(b, database)-before)/float64(len(all)), "database-bytes/conversation")
		worker, server := w.cpu(b), cpuOf(b, os.Getpid())
		<-time.After(*rest)
		b.ReportMetric(100*(w.cpu(b)-worker).Seconds()/rest.Seconds(), "%-CPU-worker-at-rest")
		b.ReportMetric(100*(cpuOf(b, os.Getpid())-server).Seconds()/rest.Seconds(), "%-CPU-server-at-rest")
		b.ReportMetric(w.memory(b), "MB-worker")
		for _, perSecond := range []int{10, 20, 40} {
			late := r.comeDue(b, orgs, perSecond)
			b.ReportMetric(percentile(late, 0.5).Seconds(), fmt.Sprintf("s-late-p50-at-%d/s", perSecond))
			b.ReportMetric(percentile(late, 0.99).Seconds(), fmt.Sprintf("s-late-p99-at-%d/s", perSecond))
		}
	}
	b.ReportMetric(0, "ns/op")
}

// comeDue starts conversations that come due one after the other, for half a minute, and
// returns how late each Inactivate was.
func (r orgRig) comeDue(b *testing.B, orgs, perSecond int) (late []time.Duration) {
	b.Helper()
	conversations := 30 * perSecond
	first := time.Now().Add(time.Duration(conversations)*time.Second/25 + 10*time.Second)
	due := map[string]time.Time{}
	var all []conversation.Start
	for n := range conversations {
		s := r.starts(b, n%orgs, 1)[0]
		due[s.ConversationIdentifier] = first.Add(time.Duration(n) * time.Second / time.Duration(perSecond))
		s.At = time.Now()
		s.Policy = conversation.Policy{
			InactivateAfter: new(conversation.Duration(time.Until(due[s.ConversationIdentifier]))),
			EndAfter:        new(conversation.Duration(24 * time.Hour)),
		}
		due[s.ConversationIdentifier] = s.At.Add(time.Duration(*s.Policy.InactivateAfter))
		all = append(all, s)
	}
	forEach(b, all, r.sender.Start)
	if time.Now().After(first) {
		b.Logf("at %d a second, the first calls were due before all conversations had started", perSecond)
	}
	require.Eventually(b, func() bool {
		late = late[:0]
		for _, e := range r.Sandbox.Journal() {
			if at, ok := due[e.ConversationIdentifier]; ok && e.Operation == "Inactivate" && e.Success {
				late = append(late, e.ReceivedAt.Sub(at))
			}
		}
		return len(late) == conversations
	}, 5*time.Minute, 5*time.Second)
	return late
}

// process is a worker as a process of its own.
type process struct{ pid int }

// startProcess starts a worker that follows the orgs of the rig.
func (r orgRig) startProcess(b *testing.B, cached int) process {
	b.Helper()
	folder := b.TempDir()
	build := exec.CommandContext(b.Context(), "go", "build", "-o", folder, "./worker")
	build.Dir = filepath.Join("..", "..")
	out, err := build.CombinedOutput()
	require.NoError(b, err, string(out))
	f := r.files(b, len(r.Config.Orgs), fmt.Sprintf("cachedConversations: %d\n", cached))
	log := &lockedBuffer{}
	command := exec.CommandContext(b.Context(), filepath.Join(folder, "worker"), "-config", f.config, "-listen", "127.0.0.1:0")
	command.Env = append(os.Environ(), "TEMPORAL_ADDRESS="+r.TemporalAddress, "TEMPORAL_NAMESPACE="+stack.Namespace)
	command.Stderr = log
	require.NoError(b, command.Start())
	b.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	require.Eventually(b, func() bool { return strings.Contains(log.String(), "Worker started") }, time.Minute, 100*time.Millisecond)
	return process{command.Process.Pid}
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

func (p process) cpu(b *testing.B) time.Duration { b.Helper(); return cpuOf(b, p.pid) }

// memory is the resident memory in megabytes.
func (p process) memory(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	require.NoError(b, err)
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	kilobytes, err := strconv.ParseFloat(strings.Fields(after)[0], 64)
	require.NoError(b, err)
	return kilobytes / 1024
}

// cpuOf is the CPU time of a process, in steps of 10 ms.
func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(b, err)
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	var ticks int
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(field)
		require.NoError(b, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// sizeOf is the size of a database with its log.
func sizeOf(b *testing.B, database string) (bytes int64) {
	b.Helper()
	for _, name := range []string{database, database + "-wal"} {
		if info, err := os.Stat(name); err == nil {
			bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
	}
	return bytes
}

// untilQuiet waits until the server does nothing any more.
func (r orgRig) untilQuiet(b *testing.B) {
	b.Helper()
	require.Eventually(b, func() bool {
		before := cpuOf(b, os.Getpid())
		<-time.After(3 * time.Second)
		return cpuOf(b, os.Getpid())-before < 1500*time.Millisecond
	}, 10*time.Minute, time.Millisecond)
}
