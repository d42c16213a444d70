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
	// late and early count events that arrive late and that are dated in the future,
	// by the limits below. latest is the greatest lateness, earliest how far ahead.
	late, early      int64
	latest, earliest time.Duration
}

// Events within these limits are of now: clocks differ by seconds.
const (
	maxLateness = 10 * time.Minute
	maxAhead    = 10 * time.Second
)

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
	late, latest, early, earliest := p.late, p.latest, p.early, p.earliest
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
	if late > 0 {
		fmt.Fprintf(&line, ", %d late by up to %s", late, latest.Round(time.Second))
	}
	if early > 0 {
		fmt.Fprintf(&line, ", %d dated up to %s in the future", early, earliest.Round(time.Second))
	}
	return line.String()
}

// addLateness counts an event that is read now. An event without a time is of now.
func (p *Progress) addLateness(at, now time.Time) {
	if at.IsZero() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch late := now.Sub(at); {
	case late > maxLateness:
		p.late++
		p.latest = max(p.latest, late)
	case late < -maxAhead:
		p.early++
		p.earliest = max(p.earliest, -late)
	}
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
