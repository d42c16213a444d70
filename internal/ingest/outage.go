package ingest

import (
	"sync"
	"time"
)

// reportInterval is how often a wait for Temporal is reported at most, for all
// partitions together.
const reportInterval = 5 * time.Second

// outage reports, once for all partitions, that Temporal does not answer and that
// it answers again.
type outage struct {
	report func(format string, args ...any)

	mu sync.Mutex
	// since is when the first partition began to wait, zero when none waits.
	since time.Time
	// lastReport is when a wait was reported last, in this outage or an earlier one.
	lastReport time.Time
	// reported is whether this outage was reported.
	reported bool
}

func (o *outage) waiting(number int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if o.since.IsZero() {
		o.since, o.reported = now, false
	}
	if now.Sub(o.lastReport) < reportInterval {
		return
	}
	o.lastReport, o.reported = now, true
	o.report("waiting for Temporal since %s, at line %d: %v", o.since.Format(time.TimeOnly), number, err)
}

func (o *outage) over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() && o.reported {
		o.report("Temporal answers again, after %s", time.Since(o.since).Round(time.Second))
	}
	o.since = time.Time{}
}
