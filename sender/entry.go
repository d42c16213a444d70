package sender

import (
	"strings"
	"time"
	"unique"

	"sessionkeeper/conversation"
)

const (
	// minBackoff and maxBackoff bound the time between two attempts of a send.
	minBackoff = 250 * time.Millisecond
	maxBackoff = 10 * time.Second
	// idleRetention is how long an idle entry is stored, only because its window
	// differs from the default. A conversation that is quiet for longer has
	// usually ended.
	idleRetention = 24 * time.Hour
)

// entry is what a sender knows of one conversation whose messages it collects.
// Its methods are the lease protocol of the sender. They read no clock and take
// no lock: the table does that.
//
//  1. At most one send is in flight.
//  2. A message at t is covered only if t <= acked or t <= leaseUntil.
//  3. When a send begins, leaseUntil drops to the smaller of the held end and
//     the requested end: until the answer arrives, we do not know which of the
//     two the workflow holds.
//  4. When a send ends: acknowledged, acked and leaseUntil are as granted;
//     failed, both are unchanged, and the entry is due again after a backoff.
//  5. Nothing in flight, nothing unacknowledged and no lease held: the entry is
//     idle and may be dropped. In any other state it may not.
//
// Entries are small, because there are many: what the conversations of a
// channel have in common is stored once, the ids are one string, and times are
// nanoseconds since 1970, zero for none.
type entry struct {
	channel unique.Handle[channel]
	// ids are conversationIdentifier, endUserClientId and sessionId, joined.
	// conversationLen and sessionLen are the lengths of the first and the last.
	ids                         string
	conversationLen, sessionLen uint8
	// failures counts the sends that failed since the last acknowledged one.
	failures uint8
	// leaseHeld: the workflow holds a lease of this sender, or may hold one
	// because the answer to a send was lost.
	leaseHeld bool
	heapIndex int32
	// acked is the newest event time that the workflow has acknowledged, latest
	// the newest that this sender has
	// accepted, leaseUntil the end of the lease
	// that is certainly held.
	acked, latest, leaseUntil int64
	window                    time.Duration
	// due is when the background loop sends next.
	due int64
	// inFlight is the send under way, nil when there is none.
	inFlight *send
}

// channel is what the conversations of one channel have in common.
type channel struct{ orgID, authorizationContext, channelAddressIdentifier string }

// send is one request under way. Callers wait for done and read the rest then.
type send struct {
	id conversation.Identity
	// at is the newest event time, acked the newest event time that was
	// acknowledged before this send.
	at, acked int64
	// lease is how long a lease is requested, counted from at. Zero releases.
	lease time.Duration

	done    chan struct{}
	receipt Receipt
	err     error
	// began: the send has begun a workflow after the last one had ended.
	began bool
	// repeated: the send before it failed. kept: this one failed, and the
	// background loop will repeat it.
	repeated, kept bool
	// abandoned: a caller has stopped waiting for it, and counts on its repetition.
	abandoned bool
	// distrusted: the session has ended meanwhile, perhaps with the lease.
	distrusted bool
}

// bytesPerEntry is the memory of an entry without the texts of its identity.
const bytesPerEntry = 400

// bytesOf is the memory of the entry of a conversation that has a channel of its own. It
// is not less than what BenchmarkMemory measures. Texts take a tenth more than their
// length.
func bytesOf(id conversation.Identity) int64 {
	texts := len(id.OrgID) + len(id.AuthorizationContext) + len(id.ChannelAddressIdentifier) +
		len(id.EndUserClientID) + len(id.ConversationIdentifier) + len(id.SessionID)
	return bytesPerEntry + int64(texts)*11/10
}

// growth is how many bytes more the entry takes with another identity.
func (e *entry) growth(id conversation.Identity) int64 {
	if e.isOfSession(id.SessionID) && !e.completesIdentity(id) {
		return 0
	}
	return bytesOf(id) - bytesOf(e.identity())
}

func newEntry(id conversation.Identity, window time.Duration) *entry {
	e := &entry{window: window, heapIndex: notQueued}
	e.identify(id)
	return e
}

// identify sets the identity. It copies the ids: the strings that they were cut
// from may be large.
func (e *entry) identify(id conversation.Identity) {
	e.channel = unique.Make(channel{id.OrgID, id.AuthorizationContext, id.ChannelAddressIdentifier})
	e.ids = strings.Join([]string{id.ConversationIdentifier, id.EndUserClientID, id.SessionID}, "")
	e.conversationLen = uint8(len(id.ConversationIdentifier)) //nolint:gosec // validated: at most 240 ASCII characters
	e.sessionLen = uint8(len(id.SessionID))                   //nolint:gosec // validated: at most 18
}

func (e *entry) identity() conversation.Identity {
	c := e.channel.Value()
	return conversation.Identity{
		OrgID:                    c.orgID,
		AuthorizationContext:     c.authorizationContext,
		ChannelAddressIdentifier: c.channelAddressIdentifier,
		ConversationIdentifier:   e.ids[:e.conversationLen],
		EndUserClientID:          e.ids[e.conversationLen : len(e.ids)-int(e.sessionLen)],
		SessionID:                e.sessionID(),
	}
}

func (e *entry) key() key { return key{e.channel.Value().orgID, e.ids[:e.conversationLen]} }

func (e *entry) sessionID() string { return e.ids[len(e.ids)-int(e.sessionLen):] }

func (e *entry) isOfSession(sessionID string) bool {
	return e.sessionID() == sessionID || conversation.SameSession(e.sessionID(), sessionID)
}

// completesIdentity reports whether id can start a workflow and the entry's
// identity cannot. If the conversation has ended, a report must be able to start
// a new one.
func (e *entry) completesIdentity(id conversation.Identity) bool {
	noEndUser := len(e.ids) == int(e.conversationLen)+int(e.sessionLen)
	return noEndUser && keyOnly(e.identity()) && !keyOnly(id)
}

func (e *entry) hasUnacked() bool { return e.latest > e.acked }

// covers is invariant 2.
func (e *entry) covers(at int64) bool { return at <= e.acked || at <= e.leaseUntil }

// idle is invariant 5.
func (e *entry) idle() bool { return e.inFlight == nil && !e.hasUnacked() && !e.leaseHeld }

// isForgotten reports whether only a lease is left that nothing counts on: the session has
// ended.
func (e *entry) isForgotten() bool {
	return e.inFlight == nil && !e.hasUnacked() && e.leaseHeld && e.leaseUntil == 0
}

// begin starts a send of the newest event time. When the workflow does not know
// that time yet, the send requests a lease. Else it releases the one held.
func (e *entry) begin(now int64) *send {
	s := &send{
		id: e.identity(), at: max(e.latest, e.acked), acked: e.acked,
		repeated: e.failures > 0, done: make(chan struct{}),
	}
	if e.hasUnacked() {
		s.lease = leaseFor(s.at, now, e.window)
	}
	e.leaseUntil = min(e.leaseUntil, s.leaseEnd())
	e.inFlight = s
	return s
}

// leaseEnd is when the requested lease ends, zero for a release.
func (s *send) leaseEnd() int64 {
	if s.lease == 0 {
		return 0
	}
	return s.at + int64(s.lease)
}

// end takes the result of the send in flight. jitter returns a random time of at
// most its argument.
func (e *entry) end(now int64, jitter func(limit time.Duration) time.Duration) {
	s := e.inFlight
	e.inFlight = nil
	if s.err != nil {
		e.leaseHeld = e.leaseHeld || s.lease > 0 && IsRetryable(s.err) // the answer may be lost
		e.failures = min(e.failures, 100) + 1
		pause := backoff(e.failures)
		e.due = now + int64(pause-jitter(pause/4))
		return
	}
	e.failures, e.acked, e.leaseUntil = 0, max(e.acked, s.at), s.leaseEnd()
	if s.receipt != Sent {
		e.leaseUntil = 0 // the conversation has ended
	}
	e.leaseHeld = e.leaseUntil > 0
	if s.distrusted {
		e.leaseUntil = 0
	}
	e.schedule(now, jitter)
}

// schedule sets when the background loop sends next. A start may have made the
// window shorter than the lease that is held.
func (e *entry) schedule(now int64, jitter func(limit time.Duration) time.Duration) {
	switch {
	case e.idle():
		e.due = now + int64(idleRetention)
	case e.leaseUntil > 0:
		e.due = min(e.leaseUntil, e.acked+int64(e.window)) - int64(renewMargin(e.window)+jitter(e.window/4))
	default:
		e.due = now
	}
}

// leaseFor is the lease to request with an event. If more than half of the window
// has passed, no lease is requested: its release would cost another report.
func leaseFor(at, now int64, window time.Duration) time.Duration {
	if now-at > int64(window/2) {
		return 0
	}
	return window
}

// renewMargin is how long before a lease ends it is renewed, so that the
// request arrives in time.
func renewMargin(window time.Duration) time.Duration { return window / 50 }

// backoff is the pause after so many failures in a row.
func backoff(failures uint8) time.Duration {
	if failures >= 6 {
		return maxBackoff
	}
	return minBackoff << (failures - 1)
}

// nanos is a time as an entry stores it. Times before 1970 become 1, because 0
// means no time.
func nanos(at time.Time) int64 {
	if at.Before(time.Unix(0, 0)) {
		return 1
	}
	return at.UnixNano()
}

func timeOf(nanos int64) time.Time { return time.Unix(0, nanos).UTC() }
