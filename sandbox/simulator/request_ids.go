package simulator

import "sync"

// requestIDs remembers the latest RequestIds, to tell which come again.
type requestIDs struct {
	mu    sync.Mutex
	limit int
	seen  map[string]bool
	order []string // a ring once it is full
	next  int
}

func newRequestIDs(limit int) *requestIDs {
	return &requestIDs{limit: limit, seen: map[string]bool{}}
}

// repeated remembers id and tells whether it was here before.
func (r *requestIDs) repeated(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[id] {
		return true
	}
	r.seen[id] = true
	if len(r.order) < r.limit {
		r.order = append(r.order, id)
		return false
	}
	delete(r.seen, r.order[r.next])
	r.order[r.next] = id
	r.next = (r.next + 1) % r.limit
	return false
}
