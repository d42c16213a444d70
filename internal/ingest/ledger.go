package ingest

import "sync"

// ledger knows which lines are under way, to say from where to go on.
type ledger struct {
	mu      sync.Mutex
	highest int
	pending map[int]struct{}
}

func newLedger(from int) *ledger {
	return &ledger{highest: from - 1, pending: map[int]struct{}{}}
}

func (l *ledger) open(number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.highest = number
	l.pending[number] = struct{}{}
}

func (l *ledger) done(number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, number)
}

// next is the first line that is not known to be done.
func (l *ledger) next() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.highest + 1
	for number := range l.pending {
		first = min(first, number)
	}
	return first
}
