package engine

import (
	"context"
	"sync"
	"time"
)

// poller asks again and again what is due.
type poller struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	err    error // the last one
}

// poll asks each time an interval has passed, and at once while there is more.
func poll(ctx context.Context, every time.Duration, ask func(context.Context) (more bool, err error)) *poller {
	// It goes on until stop is called.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &poller{cancel: cancel}
	p.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			for more := true; more && ctx.Err() == nil; {
				var err error
				if more, err = ask(ctx); err != nil && ctx.Err() == nil {
					p.err = err
				}
			}
		}
	})
	return p
}

// stop ends the polling and returns the last error that it had.
func (p *poller) stop() error {
	p.cancel()
	p.done.Wait()
	return p.err
}
