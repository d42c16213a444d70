package job

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"sessionkeeper/compare/stores"
)

// cpuTime is the CPU time that this process and the stores have used so far.
func cpuTime(servers stores.Servers) (time.Duration, error) {
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return 0, fmt.Errorf("CPU time of this process: %w", err)
	}
	ofStores, err := servers.CPU()
	return time.Duration(own.Utime.Nano()+own.Stime.Nano()) + ofStores, err
}

// The engine and its stores have no work left when they use less than
// maxIdleLoad of one core in idleSamples samples in a row.
const (
	sampleInterval = 200 * time.Millisecond
	maxIdleLoad    = 0.2
	idleSamples    = 3
)

// waitForNoLoad returns when the engine and its stores have no work left, with
// the time until then.
func waitForNoLoad(ctx context.Context, servers stores.Servers) (time.Duration, error) {
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	began := time.Now()
	last, err := cpuTime(servers)
	if err != nil {
		return 0, err
	}
	lastAt, idle := began, 0
	for idle < idleSamples {
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("wait until the engine has no work left: %w", ctx.Err())
		case <-tick.C:
		}
		now := time.Now()
		used, err := cpuTime(servers)
		if err != nil {
			return 0, err
		}
		if float64(used-last) < maxIdleLoad*float64(now.Sub(lastAt)) {
			idle++
		} else {
			idle = 0
		}
		last, lastAt = used, now
	}
	return max(0, time.Since(began)-idleSamples*sampleInterval), nil
}
