package receiver

import (
	"sync"
	"time"
)

// logLimit limits one kind of log line to one a minute.
type logLimit struct {
	mu      sync.Mutex
	last    time.Time
	skipped int
}

// allow reports whether a line may be written now, and how many were not since the
// last one.
func (l *logLimit) allow(now time.Time) (skipped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.last.IsZero() && now.Sub(l.last) < time.Minute {
		l.skipped++
		return 0, false
	}
	skipped, l.skipped, l.last = l.skipped, 0, now
	return skipped, true
}
