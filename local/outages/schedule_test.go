package outages_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"sessionkeeper/local/internal/link"
)

// fault is what happens to a process.
type fault string

const (
	killed    fault = "killed"    // SIGKILL, and started again
	frozen    fault = "frozen"    // SIGSTOP, and continued
	restarted fault = "restarted" // stopped gracefully, and started again
	cutOff    fault = "cut off"   // its connections are closed, or stalled
)

var faults = []fault{killed, frozen, restarted, cutOff}

// fail makes every process fail again and again, each by its own schedule, until ctx ends.
// Afterwards all of them run.
func (w *world) fail(ctx context.Context, seed uint64) error {
	group := new(errgroup.Group)
	for i, s := range w.subjects {
		group.Go(func() error { return s.fail(ctx, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	return group.Wait()
}

// fail lets every fault happen once in each round, in an order by chance.
func (s *subject) fail(ctx context.Context, rng *rand.Rand) error {
	for {
		for _, i := range rng.Perm(len(faults)) {
			if !sleep(ctx, between(rng, 1500*time.Millisecond, 5*time.Second)) {
				return nil
			}
			if err := s.suffer(faults[i], rng); err != nil {
				return fmt.Errorf("%s: %s: %w", s.name, faults[i], err)
			}
			s.counts[faults[i]]++
		}
	}
}

// suffer lets a fault happen and ends it.
func (s *subject) suffer(f fault, rng *rand.Rand) error {
	lasts := between(rng, 200*time.Millisecond, 3*time.Second)
	if rng.IntN(6) == 0 {
		lasts *= 4 // longer than a workflow task may take
	}
	switch f {
	case killed:
		err := s.end(syscall.SIGKILL)
		<-time.After(lasts / 4)
		return errors.Join(err, s.start())
	case restarted:
		return errors.Join(s.end(s.graceful), s.start())
	case frozen:
		err := s.signal(syscall.SIGSTOP)
		<-time.After(lasts)
		return errors.Join(err, s.signal(syscall.SIGCONT))
	default:
		state := []link.State{link.Stalled, link.Cut}[rng.IntN(2)]
		for _, l := range s.links {
			l.Set(state)
		}
		<-time.After(lasts)
		for _, l := range s.links {
			l.Set(link.Open)
		}
		return nil
	}
}

// count is how often processes failed in one way.
func (w *world) count(f fault) (n int) {
	for _, s := range w.subjects {
		n += s.counts[f]
	}
	return n
}

// table is how often each process failed in each way.
func (w *world) table() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%-12s", "")
	for _, f := range faults {
		fmt.Fprintf(&out, "%12s", f)
	}
	fmt.Fprintf(&out, "%20s\n", "ended by itself")
	for _, s := range w.subjects {
		fmt.Fprintf(&out, "%-12s", s.name)
		for _, f := range faults {
			fmt.Fprintf(&out, "%12d", s.counts[f])
		}
		fmt.Fprintf(&out, "%20d\n", s.endedByItself())
	}
	return out.String()
}

func between(rng *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(rng.Int64N(int64(to-from)))
}

// sleep reports whether the time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
