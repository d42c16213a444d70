package receiver

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"sessionkeeper/internal/access"
	"sessionkeeper/sender"
)

// Defaults of [access.Quota].
const (
	DefaultRequestsPerSecond = 500
	DefaultEventsPerSecond   = 5000
	DefaultBytesPerSecond    = 8 << 20
	DefaultRequests          = 64
	DefaultRequestBytes      = 32 << 20
)

// bytesPerRequest is what a request takes besides its body: buffers and goroutines of
// its connection. It bounds the requests whose bodies arrive slowly.
const bytesPerRequest = 32 << 10

// withDefaults returns a quota that has every field.
func withDefaults(q access.Quota) access.Quota {
	return q.OrElse(access.Quota{
		RequestsPerSecond: DefaultRequestsPerSecond, EventsPerSecond: DefaultEventsPerSecond,
		BytesPerSecond: DefaultBytesPerSecond, Requests: DefaultRequests, RequestBytes: DefaultRequestBytes,
		Conversations: sender.DefaultMaxConversations, ConversationBytes: sender.DefaultMaxBytes,
	})
}

// usage is what requests of one token use of its quota.
type usage struct {
	quota                   access.Quota
	requests, events, bytes *rate.Limiter
	// Reads have slots of their own: reads that wait for a worker must not keep
	// events out.
	writes, reads slots
	memory        *semaphore.Weighted
}

// newUsage returns the usage of a quota. The largest request that the limits allow is
// never too large for it.
func newUsage(q access.Quota, limits Limits) usage {
	return usage{
		quota:    q,
		requests: rate.NewLimiter(rate.Limit(q.RequestsPerSecond), q.RequestsPerSecond),
		events:   rate.NewLimiter(rate.Limit(q.EventsPerSecond), max(q.EventsPerSecond, limits.Events)),
		bytes:    rate.NewLimiter(rate.Limit(q.BytesPerSecond), int(max(q.BytesPerSecond, limits.Body))),
		writes:   make(slots, q.Requests), reads: make(slots, q.Requests),
		memory: semaphore.NewWeighted(max(q.RequestBytes, limits.Body+bytesPerRequest)),
	}
}

// slots bounds the requests that are processed: each occupies one slot.
type slots chan struct{}

func (s slots) take() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) release() { <-s }

// admitRequest counts a request.
func (u *usage) admitRequest(now time.Time) error {
	return admit(u.requests, now, 1, "requests per second")
}

// admitEvents counts the events of a request.
func (u *usage) admitEvents(now time.Time, n int) error {
	return admit(u.events, now, n, "events per second")
}

// admitBytes counts the bytes of a body, before it is read if its length is known: what
// is refused then costs nothing more.
func (u *usage) admitBytes(now time.Time, n int) error {
	return admit(u.bytes, now, n, "bytes per second")
}

func admit(limiter *rate.Limiter, now time.Time, n int, what string) error {
	if limiter.AllowN(now, n) {
		return nil
	}
	wait := (float64(n) - limiter.TokensAt(now)) / float64(limiter.Limit())
	return tooMany(fmt.Sprintf("%.0f %s", float64(limiter.Limit()), what)).withRetryAfter(max(1, int(math.Ceil(wait))))
}

// tooMany rejects a request that exceeds the quota of its token. Nothing of it was
// processed.
func tooMany(limit string) *problem {
	return newProblem(http.StatusTooManyRequests, "the quota of this token is "+limit+"; "+notProcessed+
		". Send the same request again later.").withRetryAfter(1)
}

// allocation is the memory that one request has taken of the quota.
type allocation struct {
	of    *semaphore.Weighted
	taken int64
}

func (a *allocation) take(n int64) bool {
	ok := a.of.TryAcquire(n)
	if ok {
		a.taken += n
	}
	return ok
}

func (a *allocation) release() { a.of.Release(a.taken) }
