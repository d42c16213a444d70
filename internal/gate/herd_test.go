package gate

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
)

// herd is a number of hang-ups that arrive at once, in orgs with a limit each.
type herd struct {
	name string
	// orgs are the numbers of calls of each org, the largest first.
	orgs       []int
	perSecond  float64
	retryAfter time.Duration
	workers    int
}

// herdResult is what a herd took.
type herdResult struct {
	took                     []time.Duration // until the last call of each org
	requests, refused, waits int
	changes                  int
}

// herdWorker is a worker with a hundred slots for attempts.
type herdWorker struct {
	slots chan struct{}
	gates []*Gate
}

// play plays a herd in virtual time. A call takes 20 ms, an attempt that only waits 2 ms.
// Temporal gives an attempt to any worker, up to 50 ms after its time.
func (h herd) play() (r herdResult) {
	var mu sync.Mutex
	count := func(add func()) { mu.Lock(); defer mu.Unlock(); add() }
	workers := make([]herdWorker, h.workers)
	for i := range workers {
		workers[i].slots = make(chan struct{}, 100)
		for range h.orgs {
			workers[i].gates = append(workers[i].gates, New(Options{
				Settings: Settings{PerSecond: 1000, InFlight: 50},
				Changed:  func(Status) { count(func() { r.changes++ }) },
			}))
		}
	}
	began := time.Now()
	r.took = make([]time.Duration, len(h.orgs))
	attempt := func(org int, limit *rate.Limiter, turn time.Time) (wait *Wait) {
		w := workers[rand.N(len(workers))]
		w.slots <- struct{}{}
		defer func() { <-w.slots }()
		pass, wait := w.gates[org].Enter(Call{HangUp: true, Turn: turn})
		if wait != nil {
			count(func() { r.waits++ })
			time.Sleep(2 * time.Millisecond)
			return wait
		}
		outcome := Outcome{Kind: Answered}
		if !limit.Allow() {
			outcome = Outcome{Kind: Limited, RetryAfter: h.retryAfter}
			count(func() { r.refused++ })
		}
		count(func() { r.requests++ })
		time.Sleep(20 * time.Millisecond)
		return pass.Done(outcome)
	}
	var all sync.WaitGroup
	for org, calls := range h.orgs {
		limit := rate.NewLimiter(rate.Limit(h.perSecond), int(h.perSecond))
		for range calls {
			all.Go(func() {
				wait := &Wait{}
				for wait != nil {
					time.Sleep(wait.Delay + rand.N(50*time.Millisecond))
					wait = attempt(org, limit, wait.Turn)
				}
				count(func() { r.took[org] = max(r.took[org], time.Since(began)) })
			})
		}
	}
	all.Wait()
	return r
}

// When many chats of an org end at once, they all end in about the time that the org's
// limit allows, and few of the requests are refused.
func TestHerds(t *testing.T) {
	herds := []herd{}
	for _, workers := range []int{1, 2} {
		for _, retryAfter := range []time.Duration{0, time.Second} {
			herds = append(herds,
				herd{"600 at 5 a second", []int{480, 90, 30}, 5, retryAfter, workers},
				herd{"3,000 at 20 a second", []int{2400, 450, 150}, 20, retryAfter, workers})
		}
	}
	if !testing.Short() {
		herds = append(herds, herd{"100,000 at 500 a second", []int{80_000, 15_000, 5_000}, 500, 0, 1})
	}
	for _, h := range herds {
		t.Run(fmt.Sprintf("%s, Retry-After %s, %d workers", h.name, h.retryAfter, h.workers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := h.play()
				ended := r.requests - r.refused
				refused, waits := float64(r.refused)/float64(r.requests), float64(r.waits)/float64(ended)
				t.Logf("%d requests, %.1f %% refused, %.1f waits a call, %d changes", r.requests, 100*refused, waits, r.changes)
				for i, took := range r.took {
					allowed := time.Duration(float64(h.orgs[i]) / h.perSecond * float64(time.Second))
					t.Logf("%6d calls: %s, the limit allows %s", h.orgs[i], took.Round(time.Second/10), allowed)
					require.Less(t, took, 3*allowed/2+6*time.Second)
				}
				require.Less(t, refused, 0.1)
				require.Less(t, waits, 12.0)
				require.LessOrEqual(t, r.changes, 20, "a change is a log line")
			})
		})
	}
}
