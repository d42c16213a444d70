package sender

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// maxSends bounds the sends that the background loop has in flight.
	maxSends = 64
	// sendTimeout is how long Temporal may take for one send.
	sendTimeout = 10 * time.Second
	// maxSleep is how long the background loop sleeps while nothing is due.
	maxSleep = time.Hour
)

// reporter runs the sends of a table: those that callers have begun, and in the
// background those that are due.
type reporter struct {
	table   *table
	deliver func(ctx context.Context, s *send)
	logger  *slog.Logger
	// unavailable: the last send failed. rejected: one failed for good.
	unavailable, rejected notice

	// lifetime limits all sends. Several callers may wait for one send, so no
	// caller's context limits it. stop ends lifetime.
	lifetime context.Context
	stop     context.CancelFunc
	// stopped is closed when the background loop has returned.
	stopped chan struct{}
}

func newReporter(t *table, deliver func(context.Context, *send), logger *slog.Logger) *reporter {
	r := &reporter{table: t, deliver: deliver, logger: logger, stopped: make(chan struct{})}
	r.lifetime, r.stop = context.WithCancel(context.Background())
	go r.loop()
	return r
}

// loop runs the sends that are due.
func (r *reporter) loop() {
	defer close(r.stopped)
	slots := make(chan struct{}, maxSends)
	for {
		select {
		case slots <- struct{}{}:
		case <-r.lifetime.Done():
			return
		}
		s := r.nextDue()
		if s == nil {
			return
		}
		go func() {
			r.run(s)
			<-slots
		}()
	}
}

// nextDue waits for the next send that is due. It returns nil when the reporter
// is stopped.
func (r *reporter) nextDue() *send {
	for {
		s, next := r.table.due(time.Now())
		if s != nil {
			return s
		}
		sleep := maxSleep
		if !next.IsZero() {
			sleep = time.Until(next)
		}
		timer := time.NewTimer(sleep)
		select {
		case <-timer.C:
		case <-r.table.wake:
		case <-r.lifetime.Done():
		}
		timer.Stop()
		if r.lifetime.Err() != nil {
			return nil
		}
	}
}

// run makes the request of a send and records its result.
func (r *reporter) run(s *send) {
	defer r.table.sends.Done()
	ctx, cancel := context.WithTimeout(r.lifetime, sendTimeout)
	defer cancel()
	r.deliver(ctx, s)
	r.table.end(s)
	r.log(s)
}

// wait runs a send where the caller has begun it, and waits for its end. ctx
// bounds only the waiting. The send's own error is in s.err.
func (r *reporter) wait(ctx context.Context, j joined) error {
	if j.begun {
		go r.run(j.send) //nolint:contextcheck // others wait for it too
	}
	select {
	case <-j.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// log writes one line when Temporal stops accepting reports, and one when it
// accepts them again.
func (r *reporter) log(s *send) {
	switch {
	case s.err == nil:
		// Only the success of a repeated send shows that Temporal accepts reports
		// that it rejected before.
		available, accepted := r.unavailable.end(), s.repeated && r.rejected.end()
		if available || accepted {
			r.logger.Info("Temporal accepts reports again")
		}
	case r.lifetime.Err() != nil:
	case !s.kept:
		// The caller who has begun it gets the error.
	case !IsRetryable(s.err):
		if r.rejected.begin() {
			r.logger.Error("Temporal rejects reports; they are stored and will be repeated", "error", s.err)
		}
	case r.unavailable.begin():
		r.logger.Warn("Temporal does not accept reports; they are stored and will be repeated", "error", s.err)
	}
}

// notice says when a fault is to be logged. A fault that comes and goes is logged at
// most once in noticeInterval.
type notice struct {
	mu sync.Mutex
	// logged: the fault that lasts has been logged.
	logged bool
	last   time.Time
}

const noticeInterval = time.Minute

// begin reports whether a fault that lasts or begins is to be logged now.
func (n *notice) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.logged || time.Since(n.last) < noticeInterval {
		return false
	}
	n.logged, n.last = true, time.Now()
	return true
}

// end reports whether the end of a fault is to be logged.
func (n *notice) end() (was bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	was, n.logged = n.logged, false
	return was
}

// close sends what is left and releases all leases, as long as ctx allows. It
// returns the error that ended it before.
func (r *reporter) close(ctx context.Context) error {
	defer r.table.sends.Wait()
	defer func() { <-r.stopped }()
	defer r.stop()
	select {
	case <-r.table.close():
		return nil
	case <-r.lifetime.Done():
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
