package engine

import (
	"context"
	"sync"
	"time"
)

// poller makes the idle calls that are due, at an interval.
type poller struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	err    error // the last one
}

// startPoller runs makeDueCalls at each interval, and at once again while it
// reports that more calls are due.
func startPoller(
	ctx context.Context, interval time.Duration, makeDueCalls func(context.Context) (more bool, err error),
) *poller {
	// The poller runs until stop is called, not until ctx ends.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &poller{cancel: cancel}
	p.done.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for more := true; more && ctx.Err() == nil; {
				var err error
				if more, err = makeDueCalls(ctx); err != nil && ctx.Err() == nil {
					p.err = err
				}
			}
		}
	})
	return p
}

// stop ends the polling and returns the last error.
func (p *poller) stop() error {
	p.cancel()
	p.done.Wait()
	return p.err
}
