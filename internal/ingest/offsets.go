package ingest

import "sync"

// offsets tracks which lines are done, to find the line to continue from.
type offsets struct {
	mu      sync.Mutex
	highest int
	pending map[int]struct{}
}

func newOffsets(from int) *offsets {
	return &offsets{highest: from - 1, pending: map[int]struct{}{}}
}

func (o *offsets) begin(number int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.highest = number
	o.pending[number] = struct{}{}
}

func (o *offsets) done(number int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.pending, number)
}

// next returns the first line that is not known to be done.
func (o *offsets) next() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	first := o.highest + 1
	for number := range o.pending {
		first = min(first, number)
	}
	return first
}
