package sender

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"sessionkeeper/conversation"
)

// table holds the entries. It adds the lock, the clock and the order in which
// entries are due to their protocol.
type table struct {
	maxEntries int
	maxBytes   int64
	// defaultWindow is the window unless a start has set another.
	defaultWindow time.Duration

	mu      sync.Mutex
	entries map[key]*entry
	// bytes is the memory that the entries take.
	bytes int64
	// queue has every entry that is not in flight.
	queue queue
	// wake has an element when the first entry is due earlier than before.
	wake   chan struct{}
	closed bool
	// drained is closed when the table is closed and its last entry is gone.
	drained chan struct{}

	absorbed, reports, failures uint64
	// sends are those in flight.
	sends sync.WaitGroup
}

// key names a conversation. Unlike a workflow id it is made without allocating.
type key struct{ orgID, conversationIdentifier string }

func keyOf(id conversation.Identity) key { return key{id.OrgID, id.ConversationIdentifier} }

func newTable(maxEntries int, maxBytes int64, defaultWindow time.Duration) *table {
	return &table{
		maxEntries: maxEntries, maxBytes: maxBytes, defaultWindow: defaultWindow, entries: map[key]*entry{},
		wake: make(chan struct{}, 1), drained: make(chan struct{}),
	}
}

// absorb takes a message that is covered. For any other it changes nothing and
// returns false.
func (t *table) absorb(id conversation.Identity, at time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[keyOf(id)]
	if e == nil || t.closed || !e.isOfSession(id.SessionID) || e.completesIdentity(id) || !e.covers(nanos(at)) {
		return false
	}
	e.latest = max(e.latest, nanos(at))
	t.absorbed++
	return true
}

// joined is the send that a caller waits for.
type joined struct {
	*send
	// begun: the caller has begun it and has to run it.
	begun bool
	// taken: the message is in its entry. It is sent by this send or a later one.
	taken bool
	// earlierSession: the message belongs to an earlier session than the entry. It
	// is sent without a lease, and the entry does not change.
	earlierSession bool
}

// message takes a message. It returns the send to join, none when the message
// is covered.
func (t *table) message(id conversation.Identity, at time.Time) (joined, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, err := t.entry(id)
	switch {
	case err != nil:
		return joined{}, err
	case !e.isOfSession(id.SessionID) && (e.inFlight != nil || e.hasUnacked()):
		return t.join(e), nil
	case !e.isOfSession(id.SessionID) && nanos(at) <= e.acked:
		return joined{earlierSession: true}, nil
	case e.growth(id) > max(0, t.maxBytes-t.bytes):
		return joined{}, ErrFull
	case !e.isOfSession(id.SessionID):
		before := e
		t.drop(before)
		e = t.add(id, before.window)
		e.leaseHeld = before.leaseHeld
	case e.completesIdentity(id) && e.inFlight != nil:
		return t.join(e), nil
	case e.completesIdentity(id):
		t.identify(e, id)
	}
	e.latest = max(e.latest, nanos(at))
	if e.covers(nanos(at)) {
		t.absorbed++
		return joined{}, nil
	}
	j := t.join(e)
	j.taken = true
	return j, nil
}

// setWindow sets the window of a conversation. With replace false, an existing
// entry keeps its window. If the table is full, the default window applies.
func (t *table) setWindow(id conversation.Identity, window time.Duration, replace bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[keyOf(id)]
	known := e != nil
	switch {
	case t.closed, known && !replace, !known && window == t.defaultWindow:
		return
	case !known:
		var err error
		if e, err = t.entry(id); err != nil {
			return
		}
	}
	e.window = window
	if e.inFlight == nil && e.failures == 0 {
		e.schedule(time.Now().UnixNano(), t.jitter)
		t.enqueue(e)
	}
}

// latest returns the newest event time of a conversation, zero for none.
func (t *table) latest(k key) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entries[k]; e != nil {
		return e.latest
	}
	return 0
}

// unacked joins the send of what a conversation has not acknowledged of the events
// up to a time. Without a send there is nothing to wait for.
func (t *table) unacked(k key, until int64) (joined, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[k]
	switch {
	case t.closed:
		return joined{}, ErrClosed
	case e == nil || until <= e.acked:
		return joined{}, nil
	default:
		return t.join(e), nil
	}
}

// due begins the send of the first entry that is due by now. Without one it
// returns when the next is due, zero for none.
func (t *table) due(now time.Time) (s *send, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.queue) > 0 {
		switch e := t.queue[0]; {
		case e.due > now.UnixNano():
			return nil, timeOf(e.due)
		case e.idle():
			t.drop(e)
		default:
			return t.join(e).send, time.Time{}
		}
	}
	return nil, time.Time{}
}

// join returns the send in flight, or begins one.
func (t *table) join(e *entry) joined {
	if e.inFlight != nil {
		return joined{send: e.inFlight}
	}
	t.unqueue(e)
	t.sends.Add(1)
	return joined{send: e.begin(time.Now().UnixNano()), begun: true}
}

// end takes the result of a send, and wakes those who wait for it.
func (t *table) end(s *send) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer close(s.done)
	e := t.entries[keyOf(s.id)]
	now := time.Now().UnixNano()
	if s.began && !t.closed {
		e.window = t.defaultWindow // the policy of the workflow before is not known to the new one
	}
	e.end(now, t.jitter)
	if s.err == nil {
		t.reports++
	} else {
		t.failures++
	}
	switch {
	case s.err != nil && !IsRetryable(s.err) && e.acked == 0 && !e.leaseHeld && !s.repeated && !s.abandoned:
		// Temporal rejects the first message, and every caller gets the error.
		t.drop(e)
		return
	case e.idle() && (t.closed || e.window == t.defaultWindow || s.receipt != Sent):
		t.drop(e)
		return
	case t.closed && s.err == nil:
		e.due = now
	}
	s.kept = s.err != nil
	t.enqueue(e)
}

// jitter returns a random time of at most limit. It spreads the sends of many
// conversations: those that began together would otherwise be sent at the same
// time in every window, and delay idle calls. 10 ms for each conversation are
// enough.
func (t *table) jitter(limit time.Duration) time.Duration {
	const perConversation = 10 * time.Millisecond
	return rand.N(min(limit, time.Duration(len(t.entries)-1)*perConversation) + 1) //nolint:gosec // not a secret
}

// abandon marks a send for which a caller has stopped waiting. It reports whether
// the caller's message will be sent: by this send or a repetition of it.
func (t *table) abandon(s *send) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-s.done:
		return s.err == nil || s.kept
	default:
		s.abandoned = true
		return true
	}
}

// forget drops the entry of a session that ended at a time. An acknowledged
// message that is newer than the end belongs to the next generation.
func (t *table) forget(id conversation.Identity, end time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries[keyOf(id)]
	switch {
	case e == nil || id.SessionID != "" && e.sessionLen > 0 && !e.isOfSession(id.SessionID):
	case nanos(end) < e.acked:
	case e.inFlight != nil || e.hasUnacked():
		t.distrust(e)
	case e.leaseHeld:
		// Another session may begin while the lease lasts, and take it over. So it is
		// released when it would have been renewed, and covers nothing until then.
		e.leaseUntil = 0
	default:
		t.drop(e)
	}
}

// restarted says that a new workflow of a conversation has begun.
func (t *table) restarted(id conversation.Identity) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entries[keyOf(id)]; e != nil {
		t.distrust(e)
	}
}

// distrust stops counting on a lease that may be one of a workflow that has ended.
// If it is one of the new workflow, it is released soon.
func (t *table) distrust(e *entry) {
	e.leaseUntil = 0
	switch {
	case e.inFlight != nil:
		e.inFlight.distrusted = true
	case !e.idle():
		e.due = time.Now().UnixNano()
		t.enqueue(e)
	}
}

// close makes every entry due now, and ends leases from now on. The channel is
// closed once no entry is left.
func (t *table) close() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return t.drained
	}
	t.closed = true
	for _, e := range t.entries {
		e.window, e.due = 0, min(e.due, time.Now().UnixNano())
	}
	heap.Init(&t.queue)
	t.wakeLoop()
	if len(t.entries) == 0 {
		close(t.drained)
	}
	return t.drained
}

func (t *table) stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	stats := Stats{Absorbed: t.absorbed, Reports: t.reports, Failures: t.failures}
	for _, e := range t.entries {
		if !e.idle() {
			stats.Conversations++
		}
		if e.hasUnacked() {
			stats.Unreported++
		}
	}
	return stats
}

// entry returns the entry of a conversation, or a new one.
func (t *table) entry(id conversation.Identity) (*entry, error) {
	e := t.entries[keyOf(id)]
	switch {
	case t.closed:
		return nil, ErrClosed
	case e != nil:
		return e, nil
	}
	for len(t.entries) >= t.maxEntries || t.bytes+bytesOf(id) > t.maxBytes {
		if !t.evictIdle() {
			return nil, ErrFull
		}
	}
	return t.add(id, t.defaultWindow), nil
}

// add puts a new entry into the map. It is queued when its first send ends.
func (t *table) add(id conversation.Identity, window time.Duration) *entry {
	e := newEntry(id, window)
	t.entries[e.key()] = e
	t.bytes += bytesOf(id)
	return e
}

// identify changes an entry's identity, of which the map's key is a part.
func (t *table) identify(e *entry, id conversation.Identity) {
	delete(t.entries, e.key())
	t.bytes += bytesOf(id) - bytesOf(e.identity())
	e.identify(id)
	t.entries[e.key()] = e
}

// evictIdle drops an idle entry if it finds one quickly. Idle entries are due
// last, so they are among the leaves of the heap. An entry of a session that has ended
// may go too: then its lease expires.
func (t *table) evictIdle() bool {
	const atOnce = 1000
	for _, e := range slices.Backward(t.queue[max(0, len(t.queue)-atOnce):]) {
		if e.idle() || e.isForgotten() {
			t.drop(e)
			return true
		}
	}
	return false
}

func (t *table) drop(e *entry) {
	t.unqueue(e)
	delete(t.entries, e.key())
	t.bytes -= bytesOf(e.identity())
	if t.closed && len(t.entries) == 0 {
		close(t.drained)
	}
}

// enqueue puts an entry into the queue, or moves it to its new place there.
func (t *table) enqueue(e *entry) {
	if e.heapIndex == notQueued {
		heap.Push(&t.queue, e)
	} else {
		heap.Fix(&t.queue, int(e.heapIndex))
	}
	if e.heapIndex == 0 {
		t.wakeLoop()
	}
}

func (t *table) unqueue(e *entry) {
	if e.heapIndex != notQueued {
		heap.Remove(&t.queue, int(e.heapIndex))
	}
}

// wakeLoop wakes the background loop.
func (t *table) wakeLoop() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}
