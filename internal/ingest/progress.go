package ingest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sessionkeeper/sender"
)

// Progress counts what a run has done so far. It is safe for concurrent use.
//
// To count conversations it keeps a 64-bit hash of each, about 20 bytes: 10 million
// conversations take about 200 MB.
type Progress struct {
	started time.Time

	sent, absorbed, over, untracked, rejected, waits atomic.Int64

	mu            sync.Mutex
	conversations map[uint64]struct{}
}

// NewProgress returns a progress that starts now.
func NewProgress() *Progress {
	return &Progress{started: time.Now(), conversations: map[uint64]struct{}{}}
}

// Events returns how many events were sent, whatever their receipts.
func (p *Progress) Events() int64 {
	return p.sent.Load() + p.absorbed.Load() + p.over.Load() + p.untracked.Load()
}

// Rejected returns how many lines were rejected.
func (p *Progress) Rejected() int64 { return p.rejected.Load() }

// String returns the progress in one line.
func (p *Progress) String() string {
	p.mu.Lock()
	conversations := len(p.conversations)
	p.mu.Unlock()
	events := p.Events()
	rate := float64(events) / max(time.Since(p.started).Seconds(), 0.001)

	var line strings.Builder
	fmt.Fprintf(&line, "%d events (%.0f/s), %d conversations, %d rejected", events, rate, conversations, p.Rejected())
	for _, count := range []struct {
		name string
		n    int64
	}{
		{string(sender.Absorbed), p.absorbed.Load()},
		{string(sender.AlreadyOver), p.over.Load()},
		{string(sender.NotTracked), p.untracked.Load()},
		{"waits for Temporal", p.waits.Load()},
	} {
		if count.n > 0 {
			fmt.Fprintf(&line, ", %d %s", count.n, count.name)
		}
	}
	return line.String()
}

func (p *Progress) addReceipt(receipt sender.Receipt) {
	switch receipt {
	case sender.Absorbed:
		p.absorbed.Add(1)
	case sender.AlreadyOver:
		p.over.Add(1)
	case sender.NotTracked:
		p.untracked.Add(1)
	default:
		p.sent.Add(1)
	}
}

func (p *Progress) addConversation(hash uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conversations[hash] = struct{}{}
}
