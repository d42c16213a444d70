package ingest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"sessionkeeper/sender"
)

// Progress counts what a run has done so far. It is safe for concurrent use.
type Progress struct {
	started time.Time

	sent, over, untracked, rejected, waits atomic.Int64

	mu            sync.Mutex
	conversations map[uint64]struct{}
}

// NewProgress returns a progress that starts now.
func NewProgress() *Progress {
	return &Progress{started: time.Now(), conversations: map[uint64]struct{}{}}
}

// Rejected is how many lines were rejected.
func (p *Progress) Rejected() int64 { return p.rejected.Load() }

// String is the progress in one line.
func (p *Progress) String() string {
	p.mu.Lock()
	conversations := len(p.conversations)
	p.mu.Unlock()
	sent, over, untracked := p.sent.Load(), p.over.Load(), p.untracked.Load()
	events := sent + over + untracked
	rate := float64(events) / max(time.Since(p.started).Seconds(), 0.001)
	return fmt.Sprintf("%d events (%.0f/s), %d conversations, %d already over, %d not tracked, %d rejected, %d waits",
		events, rate, conversations, over, untracked, p.rejected.Load(), p.waits.Load())
}

func (p *Progress) count(receipt sender.Receipt) {
	switch receipt {
	case sender.AlreadyOver:
		p.over.Add(1)
	case sender.NotTracked:
		p.untracked.Add(1)
	default:
		p.sent.Add(1)
	}
}

func (p *Progress) conversation(hash uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conversations[hash] = struct{}{}
}
