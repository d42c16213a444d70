package job

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"sessionkeeper/compare/stores"
)

// cpu is the processor time that this process and the stores have taken so far.
func cpu(servers stores.Servers) (time.Duration, error) {
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return 0, fmt.Errorf("processor time: %w", err)
	}
	theirs, err := servers.CPU()
	return time.Duration(own.Utime.Nano()+own.Stime.Nano()) + theirs, err
}

// When nothing is left to do, so much of one core is taken at most, for so many
// looks in a row.
const (
	look      = 200 * time.Millisecond
	quietLoad = 0.2
	quietFor  = 3
)

// settle returns once the engine and its stores have nothing left to do, with
// the time it took until then.
func settle(ctx context.Context, servers stores.Servers) (time.Duration, error) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	began := time.Now()
	last, err := cpu(servers)
	if err != nil {
		return 0, err
	}
	lookedAt, calm := began, 0
	for calm < quietFor {
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("wait until the engine has caught up: %w", ctx.Err())
		case <-tick.C:
		}
		now := time.Now()
		taken, err := cpu(servers)
		if err != nil {
			return 0, err
		}
		if float64(taken-last) < quietLoad*float64(now.Sub(lookedAt)) {
			calm++
		} else {
			calm = 0
		}
		last, lookedAt = taken, now
	}
	return max(0, time.Since(began)-quietFor*look), nil
}
