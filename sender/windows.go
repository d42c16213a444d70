package sender

import (
	"container/heap"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"sessionkeeper/conversation"
)

// ErrFull is the error of a message of a conversation that there is no room for:
// Options.MaxConversations of others are being absorbed. Nothing was kept.
var ErrFull = errors.New("too many conversations at once")

// windows are the conversations whose messages are absorbed.
type windows struct {
	max int
	// usual is the length of a window unless a start has set another.
	usual time.Duration

	mu    sync.Mutex
	byKey map[key]*window
	queue queue
	// earlier has an entry when the queue's first window is due earlier than
	// before.
	earlier chan struct{}
	// emptied is closed when the last window is gone.
	emptied chan struct{}
	closed  bool

	absorbed, reports, failures uint64
}

// key names a conversation. Unlike a workflow id it is made without allocating.
type key struct{ orgID, conversationIdentifier string }

// window is the burst of a conversation. It is small, because there are many:
// what conversations have in common is held once, the rest in one string, and
// times are nanoseconds since 1970.
type window struct {
	channel unique.Handle[channel]
	// ids are conversationIdentifier, endUserClientId and sessionId, one after
	// the other; named is the length of the first, session that of the last.
	ids     string
	named   uint16
	session uint8
	// failures counts the attempts to report since the last that succeeded.
	failures uint8
	// place is that in the queue.
	place int32
	// reported is the newest time that the conversation knows, last the newest
	// one there is, and promised the end of the promise that it knows; zero for
	// none.
	reported, last, promised int64
	length                   time.Duration
	// due is when the next report is to be made.
	due int64
	// flying is closed when the report that is under way has come back; nil when
	// none is. Whoever set it has claimed the window.
	flying chan struct{}
}

// channel is what the conversations of a channel have in common.
type channel struct{ orgID, authorizationContext, channelAddressIdentifier string }

func newWindows(most int, usual time.Duration) *windows {
	return &windows{max: most, usual: usual, byKey: map[key]*window{}, earlier: make(chan struct{}, 1)}
}

func keyOf(id conversation.Identity) key { return key{id.OrgID, id.ConversationIdentifier} }

func newWindow(id conversation.Identity, length time.Duration) *window {
	w := &window{length: length, place: nowhere}
	w.identify(id)
	return w
}

func (w *window) identify(id conversation.Identity) {
	w.channel = unique.Make(channel{id.OrgID, id.AuthorizationContext, id.ChannelAddressIdentifier})
	// Joined, they are a copy: what they were cut from may be large.
	w.ids = strings.Join([]string{id.ConversationIdentifier, id.EndUserClientID, id.SessionID}, "")
	w.named, w.session = uint16(len(id.ConversationIdentifier)), uint8(len(id.SessionID)) //nolint:gosec // both were validated
}

func (w *window) identity() conversation.Identity {
	c := w.channel.Value()
	return conversation.Identity{
		OrgID: c.orgID, AuthorizationContext: c.authorizationContext, ChannelAddressIdentifier: c.channelAddressIdentifier,
		ConversationIdentifier: w.ids[:w.named], EndUserClientID: w.ids[w.named : len(w.ids)-int(w.session)], SessionID: w.sessionID(),
	}
}

func (w *window) key() key { return key{w.channel.Value().orgID, w.ids[:w.named]} }

func (w *window) sessionID() string { return w.ids[len(w.ids)-int(w.session):] }

func (w *window) isOf(sessionID string) bool {
	return w.sessionID() == sessionID || conversation.SameSession(w.sessionID(), sessionID)
}

// learns reports whether an identity can begin a conversation, and what the window
// knows can not: if the conversation has ended, its report would reach nobody.
func (w *window) learns(id conversation.Identity) bool {
	nobody := len(w.ids) == int(w.named)+int(w.session)
	return nobody && keyOnly(w.identity()) && !keyOnly(id)
}

// mayBeOf is isOf, where both are known.
func (w *window) mayBeOf(sessionID string) bool {
	return sessionID == "" || w.session == 0 || w.isOf(sessionID)
}

// silent reports whether nothing is left of a burst: then only the length of the
// next one's window is remembered.
func (w *window) silent() bool {
	return w.flying == nil && w.failures == 0 && w.promised == 0 && w.last <= w.reported
}

// covers reports whether the conversation knows of a message, or counts on it.
func (w *window) covers(at int64) bool {
	return at <= w.reported || at <= w.promised
}

// absorb keeps a message to the sender, where a promise allows it.
func (ws *windows) absorb(id conversation.Identity, at time.Time) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byKey[keyOf(id)]
	if w == nil || ws.closed || !w.isOf(id.SessionID) || w.learns(id) || !w.covers(nanos(at)) {
		return false
	}
	w.last = max(w.last, nanos(at))
	ws.absorbed++
	return true
}

// claimed is a window that its holder has to report on and then to settle.
// Without a window there is nothing to do, unless a field says so.
type claimed struct {
	*window
	report report
	// before: the report is on what was absorbed of an earlier session, and the
	// message itself is to be handed in again.
	before bool
	// apart: the message is older than another session's, and is reported alone.
	apart bool
	// wait: a report is under way, and its end is to be waited for.
	wait <-chan struct{}
	// kept: the message waits in the window meanwhile.
	kept bool
	// stands: of a start, there is a promise that stands.
	stands bool
}

// report is what is to be told of a window.
type report struct {
	id conversation.Identity
	// at is the time of the last message, zero when there was none.
	at time.Time
	// known is the newest time that the conversation knew before.
	known time.Time
	// promise is for how long from at the sender may be silent; zero for none.
	promise time.Duration
}

// news reports whether there is a message that the conversation does not know.
func (r report) news() bool { return r.at.After(r.known) }

// message hands a message to its window, and claims the window when that has to
// be reported on now.
func (ws *windows) message(id conversation.Identity, at time.Time, length time.Duration) (claimed, error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w, err := ws.open(id, length)
	if err != nil {
		return claimed{}, err
	}
	if !w.isOf(id.SessionID) {
		return ws.otherSession(w, id, at), nil
	}
	if w.learns(id) {
		ws.identify(w, id)
	}
	w.last = max(w.last, nanos(at))
	switch {
	case w.covers(nanos(at)):
		ws.absorbed++
		return claimed{}, nil
	case w.flying != nil:
		return claimed{wait: w.flying, kept: true}, nil
	default:
		return ws.claimReport(w), nil
	}
}

// otherSession takes a message of another session than the window's: that one's
// messages are reported first.
func (ws *windows) otherSession(w *window, id conversation.Identity, at time.Time) claimed {
	switch {
	case w.flying != nil:
		return claimed{wait: w.flying}
	case w.last > w.reported:
		c := ws.claimReport(w)
		c.before = true
		return c
	case nanos(at) <= w.reported:
		return claimed{apart: true}
	}
	ws.drop(w)
	w = newWindow(id, w.length)
	w.last = nanos(at)
	ws.byKey[w.key()] = w
	return ws.claimReport(w)
}

// start claims the window of a conversation that is to be started. There is none
// when there is no room, or a later session has taken its place: then the start
// is told without a promise.
func (ws *windows) start(id conversation.Identity, at time.Time, length time.Duration) (claimed, error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w, err := ws.open(id, length)
	news := err == nil && nanos(at) > w.reported
	switch {
	case errors.Is(err, ErrFull):
		return claimed{}, nil
	case err != nil:
		return claimed{}, err
	case w.flying != nil:
		return claimed{wait: w.flying}, nil
	case !news && !w.isOf(id.SessionID):
		return claimed{}, nil
	}
	ws.identify(w, id)
	w.length = length
	c := ws.claim(w)
	c.stands = w.promised > 0
	if until := promise(at, length); news && until > 0 {
		c.report = report{id: id, at: at, promise: until}
		ws.replace(w, c.report)
	}
	return c, nil
}

// identify makes an identity that of a window, which also is in the map's key.
func (ws *windows) identify(w *window, id conversation.Identity) {
	delete(ws.byKey, w.key())
	w.identify(id)
	ws.byKey[w.key()] = w
}

// lengthOf is the length of a conversation's window, or of one that it would get.
func (ws *windows) lengthOf(k key, otherwise time.Duration) time.Duration {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w := ws.byKey[k]; w != nil {
		return w.length
	}
	return otherwise
}

// unreported claims a conversation's window if there is a message to report.
func (ws *windows) unreported(k key) (claimed, error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byKey[k]
	switch {
	case ws.closed:
		return claimed{}, ErrClosed
	case w == nil:
		return claimed{}, nil
	case w.flying != nil:
		return claimed{wait: w.flying}, nil
	case w.last > w.reported:
		return ws.claimReport(w), nil
	default:
		return claimed{}, nil
	}
}

// due claims the first window that is to be reported on by now. Without one it
// tells when the next is.
func (ws *windows) due(now time.Time) (c claimed, next time.Time) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for len(ws.queue) > 0 {
		switch w := ws.queue[0]; {
		case w.due > now.UnixNano():
			return claimed{}, time.Unix(0, w.due)
		case w.silent():
			ws.drop(w)
		default:
			return ws.claimReport(w), time.Time{}
		}
	}
	return claimed{}, time.Time{}
}

func (ws *windows) open(id conversation.Identity, length time.Duration) (*window, error) {
	w := ws.byKey[keyOf(id)]
	switch {
	case ws.closed:
		return nil, ErrClosed
	case w != nil:
		return w, nil
	case len(ws.byKey) >= ws.max && !ws.makeRoom():
		return nil, ErrFull
	}
	w = newWindow(id, length)
	ws.byKey[w.key()] = w
	return w, nil
}

// makeRoom drops a silent window, if it finds one at once. Those are due last, so
// they are among the leaves of the heap.
func (ws *windows) makeRoom() bool {
	const atOnce = 1000
	for _, w := range slices.Backward(ws.queue[max(0, len(ws.queue)-atOnce):]) {
		if w.silent() {
			ws.drop(w)
			return true
		}
	}
	return false
}

func (ws *windows) claim(w *window) claimed {
	if w.place != nowhere {
		heap.Remove(&ws.queue, int(w.place))
	}
	w.flying = make(chan struct{})
	return claimed{window: w}
}

// claimReport claims a window for a report of its own.
func (ws *windows) claimReport(w *window) claimed {
	c := ws.claim(w)
	c.report = report{id: w.identity(), at: timeOf(max(w.last, w.reported)), known: timeOf(w.reported)}
	if c.report.news() && !ws.closed {
		c.report.promise = promise(c.report.at, w.length)
	}
	ws.replace(w, c.report)
	return c
}

// replace counts on no more than the lesser of the promise that stands and the
// one that is on its way: until that is acknowledged nobody knows which it is.
func (ws *windows) replace(w *window, by report) {
	switch {
	case by.promise == 0:
		w.promised = 0
	case w.promised > 0:
		w.promised = min(w.promised, nanos(by.at)+int64(by.promise))
	}
}

// remembered is for how long the length of a silent window is. A conversation
// that is quiet for longer has usually ended.
const remembered = 24 * time.Hour

// promise is worth its while when it lasts for half a window from now. What is
// left of a shorter one would cost another report at its end.
func promise(at time.Time, length time.Duration) time.Duration {
	if time.Since(at) > length/2 {
		return 0
	}
	return length
}

// settled is what came of a claim.
type settled struct {
	receipt Receipt
	err     error
	// at is the newest time that the conversation was told of, with the promise
	// that came with it. Zero when it knows no more than before.
	at      time.Time
	promise time.Duration
}

// settle gives a claimed window back, and tells whether its messages are kept
// to be reported later.
func (ws *windows) settle(w *window, with settled) (kept bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	close(w.flying)
	w.flying = nil
	if with.err != nil {
		return ws.failed(w, with.err)
	}
	ws.reports++
	w.failures = 0
	if with.receipt != Sent {
		w.promised = 0
	}
	if !with.at.IsZero() {
		w.reported, w.promised = max(w.reported, nanos(with.at)), 0
		if with.receipt == Sent && with.promise > 0 {
			w.promised = w.reported + int64(with.promise)
		}
	}
	// A start may have made the window shorter than what was promised before.
	w.due = min(w.promised, w.reported+int64(w.length)) - int64(lead(w.length)+ws.spread(w.length))
	switch {
	case w.silent() && (ws.closed || w.length == ws.usual || with.receipt != Sent):
		ws.drop(w)
		return false
	case w.silent():
		w.due = time.Now().Add(remembered).UnixNano()
	case w.promised == 0, ws.closed:
		w.due = time.Now().UnixNano()
	}
	ws.enqueue(w)
	return true
}

// failed has a report tried again later, unless there was none to make, or
// Temporal refused the very first one for good.
func (ws *windows) failed(w *window, err error) (kept bool) {
	ws.failures++
	if w.reported == 0 && (w.last == 0 || !IsRetryable(err)) {
		ws.drop(w)
		return false
	}
	w.failures = min(w.failures, 100) + 1
	w.due = time.Now().Add(patience(w.failures)).UnixNano()
	ws.enqueue(w)
	return true
}

func (ws *windows) enqueue(w *window) {
	heap.Push(&ws.queue, w)
	if w.place == 0 {
		ws.hurry()
	}
}

// lead is how long before the end of a window its report is made, so that the
// promise is still kept when the report arrives.
func lead(length time.Duration) time.Duration { return length / 50 }

// spread is how much earlier still a report is made, at random, so that many
// conversations that began together, or were all waiting for Temporal, do not
// report together each time: while they do, idle calls would be late.
func (ws *windows) spread(length time.Duration) time.Duration {
	const apart = 10 * time.Millisecond
	most := min(length/4, time.Duration(len(ws.byKey)-1)*apart)
	return rand.N(most + 1) //nolint:gosec // not a secret
}

func (ws *windows) hurry() {
	select {
	case ws.earlier <- struct{}{}:
	default:
	}
}

// forget drops the window of a session that has ended at a time, zero for now. A
// message after that, which the conversation knows, has begun another life, and
// the promise with it stands.
func (ws *windows) forget(id conversation.Identity, end time.Time) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byKey[keyOf(id)]
	switch {
	case w == nil || !w.mayBeOf(id.SessionID):
	case !end.IsZero() && nanos(end) < w.reported:
	case w.flying != nil || w.last > w.reported:
		// What is being told, or has come since, may belong to the next one.
		w.promised = 0
		if w.place != nowhere {
			w.due = time.Now().UnixNano()
			heap.Fix(&ws.queue, int(w.place))
			ws.hurry()
		}
	default:
		ws.drop(w)
	}
}

func (ws *windows) drop(w *window) {
	if w.place != nowhere {
		heap.Remove(&ws.queue, int(w.place))
	}
	delete(ws.byKey, w.key())
	if ws.closed && len(ws.byKey) == 0 {
		close(ws.emptied)
	}
}

// close has every window reported on now, and no more opened. The channel is
// closed once none is left.
func (ws *windows) close() <-chan struct{} {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		return ws.emptied
	}
	ws.closed, ws.emptied = true, make(chan struct{})
	if len(ws.byKey) == 0 {
		close(ws.emptied)
	}
	now := time.Now().UnixNano()
	for _, w := range ws.queue {
		w.due = min(w.due, now)
	}
	heap.Init(&ws.queue)
	ws.hurry()
	return ws.emptied
}

func (ws *windows) stats() Stats {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	stats := Stats{Absorbed: ws.absorbed, Reports: ws.reports, Failures: ws.failures}
	for _, w := range ws.byKey {
		if !w.silent() {
			stats.Conversations++
		}
		if w.last > w.reported {
			stats.Unreported++
		}
	}
	return stats
}

// nanos is a time as a window keeps it. What happened before 1970 is of then: it
// is older than anything known.
func nanos(at time.Time) int64 {
	if at.Before(time.Unix(0, 0)) {
		return 1
	}
	return at.UnixNano()
}

func timeOf(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}
