package ingest

import (
	"sync"
	"time"
)

// sayAgain is how often a wait for Temporal is reported, however many lanes
// wait.
const sayAgain = 5 * time.Second

// outage tells, for all lanes together, that Temporal has to be waited for and
// that it answers again.
type outage struct {
	report func(format string, args ...any)

	mu sync.Mutex
	// since is when the first of the lanes began to wait, zero when none does.
	since time.Time
	// reported is when a wait was last reported, this outage or one before.
	reported time.Time
	told     bool
}

func (o *outage) waiting(number int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if o.since.IsZero() {
		o.since, o.told = now, false
	}
	if now.Sub(o.reported) < sayAgain {
		return
	}
	o.reported, o.told = now, true
	o.report("waiting for Temporal since %s, at line %d: %v", o.since.Format(time.TimeOnly), number, err)
}

func (o *outage) over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() && o.told {
		o.report("Temporal answers again, after %s", time.Since(o.since).Round(time.Second))
	}
	o.since = time.Time{}
}
