package sender

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/api/serviceerror"
	"google.golang.org/grpc/codes"

	"sessionkeeper/conversation"
)

const (
	// reporters bounds the reports of windows that are under way at once.
	reporters = 64
	// reportTimeout is how long Temporal may take for one of them before it is
	// tried again.
	reportTimeout = 10 * time.Second
	// firstPause and longestPause bound the time between two attempts.
	firstPause   = 250 * time.Millisecond
	longestPause = 10 * time.Second
	// idlePause is how long to look away while nothing is due.
	idlePause = time.Hour
)

// ErrClosed is the error of events that are told to a closed sender.
var ErrClosed = errors.New("the sender is closed")

// PendingError is the error of a message that could not be reported in time. It is
// kept, and tried again until Temporal takes it; sending it again does no harm.
// But until then nothing stands for it if this process ends.
type PendingError struct{ Cause error }

// Error implements error.
func (e *PendingError) Error() string {
	return "not reported yet, kept and tried again: " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *PendingError) Unwrap() error { return e.Cause }

// UndrainedError is the error of [Sender.Close] when time was up. Conversations whose
// promise is left are made Inactive late by at most one window; messages left
// Unreported outside a promise are lost.
type UndrainedError struct {
	Conversations, Unreported int
	Cause                     error
}

// Error implements error.
func (e *UndrainedError) Error() string {
	return fmt.Sprintf("close the sender: %d conversations left, %d of them with a message that is not reported: %v",
		e.Conversations, e.Unreported, e.Cause)
}

// Unwrap returns the cause.
func (e *UndrainedError) Unwrap() error { return e.Cause }

// startWindow starts a conversation with a promise, after what was absorbed of
// it is reported.
func (s *Sender) startWindow(ctx context.Context, start conversation.Start) (Receipt, error) {
	at := notAfter(start.At, time.Now())
	start.At = at
	length := s.window(start.Policy)
	if start.Policy.InactivateAfter == nil {
		// A conversation that runs keeps what it was begun with.
		length = s.windows.lengthOf(keyOf(start.Identity), min(length, s.window(s.options.Policy)))
	}
	for {
		if err := s.flush(ctx, start.Identity); err != nil {
			return "", fmt.Errorf("start: %w", err)
		}
		c, err := s.windows.start(start.Identity, at, length)
		switch {
		case err != nil:
			return "", fmt.Errorf("start %s: %w", start.WorkflowID(), err)
		case c.wait != nil:
			if err := wait(ctx, c.wait); err != nil {
				return "", fmt.Errorf("start %s: %w", start.WorkflowID(), err)
			}
			continue
		case c.window == nil:
			receipt, _, err := s.start(ctx, start, true)
			return receipt, err
		}
		if c.report.promise > 0 {
			start.Lease = conversation.Lease{Holder: s.options.ID, Duration: conversation.Duration(c.report.promise)}
		}
		receipt, began, err := s.start(ctx, start, c.stands)
		told := settled{receipt: receipt, err: err}
		if began {
			told.at, told.promise = c.report.at, c.report.promise
		}
		s.windows.settle(c.window, told)
		return receipt, err
	}
}

// messageWindow reports a message, or leaves it in its window where it is
// covered.
func (s *Sender) messageWindow(ctx context.Context, id conversation.Identity, at time.Time, length time.Duration) (Receipt, error) {
	for {
		c, err := s.windows.message(id, at, length)
		switch {
		case err != nil:
			return "", fmt.Errorf("message %s: %w", id.WorkflowID(), err)
		case c.apart:
			return s.message(ctx, id, conversation.Message{SessionID: id.SessionID, At: at})
		case c.wait != nil:
			if err := wait(ctx, c.wait); err != nil {
				return "", notReported(id, err, c.kept)
			}
			continue
		case c.window == nil:
			return Absorbed, nil
		}
		receipt, kept, err := s.report(ctx, c)
		switch {
		case err != nil:
			return "", notReported(id, err, kept && !c.before)
		case !c.before:
			return receipt, nil
		}
	}
}

func notReported(id conversation.Identity, err error, kept bool) error {
	if kept {
		err = &PendingError{Cause: err}
	}
	return fmt.Errorf("message %s: %w", id.WorkflowID(), err)
}

// flush reports what was absorbed of a conversation.
func (s *Sender) flush(ctx context.Context, id conversation.Identity) error {
	for {
		c, err := s.windows.unreported(keyOf(id))
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", id.WorkflowID(), err)
		case c.wait != nil:
			if err := wait(ctx, c.wait); err != nil {
				return fmt.Errorf("report on %s: %w", id.WorkflowID(), err)
			}
			continue
		case c.window == nil:
			return nil
		}
		if _, _, err := s.report(ctx, c); err != nil {
			return fmt.Errorf("report on %s: %w", id.WorkflowID(), err)
		}
	}
}

// report tells a conversation what its window holds.
func (s *Sender) report(ctx context.Context, c claimed) (receipt Receipt, kept bool, err error) {
	r := c.report
	receipt, err = s.deliver(ctx, r)
	kept = s.windows.settle(c.window, settled{receipt: receipt, err: err, at: r.at, promise: r.promise})
	return receipt, kept, err
}

func (s *Sender) deliver(ctx context.Context, r report) (Receipt, error) {
	m := conversation.Message{
		SessionID: r.id.SessionID, At: r.at,
		// Without a window it takes back what was promised, if only by an attempt
		// of which nobody knows whether it arrived.
		Lease: conversation.Lease{Holder: s.options.ID, Duration: conversation.Duration(r.promise)},
	}
	if !r.news() {
		return s.tellRunning(ctx, r.id, conversation.SignalMessage, m)
	}
	return s.message(ctx, r.id, m)
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reporter makes the reports of windows that come to their end.
type reporter struct {
	sender *Sender
	// away: the last report failed; refused: Temporal refuses them for good.
	away, refused atomic.Bool

	stopped <-chan struct{}
	stop    context.CancelFunc
	done    sync.WaitGroup
}

func newReporter(s *Sender) *reporter {
	ctx, stop := context.WithCancel(context.Background())
	r := &reporter{sender: s, stopped: ctx.Done(), stop: stop}
	if w := s.options.Window; w == nil || *w > 0 {
		r.done.Go(func() { r.run(ctx) })
	}
	return r
}

func (r *reporter) run(ctx context.Context) {
	slots := make(chan struct{}, reporters)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		c, ok := r.next(ctx)
		if !ok {
			return
		}
		r.done.Go(func() {
			r.report(ctx, c)
			<-slots
		})
	}
}

// next waits for the next window that is due.
func (r *reporter) next(ctx context.Context) (c claimed, ok bool) {
	windows := r.sender.windows
	for {
		c, next := windows.due(time.Now())
		if c.window != nil {
			return c, true
		}
		pause := idlePause
		if !next.IsZero() {
			pause = time.Until(next)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-windows.earlier:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return claimed{}, false
		}
	}
}

func (r *reporter) report(ctx context.Context, c claimed) {
	attempt, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	again := c.failures > 0
	_, kept, err := r.sender.report(attempt, c)
	logger := r.sender.options.Logger
	switch {
	case err == nil:
		// That others are taken says nothing of those that are refused.
		away, refused := r.away.Swap(false), again && r.refused.Swap(false)
		if away || refused {
			logger.Info("Temporal takes reports again")
		}
	case ctx.Err() != nil:
	case !IsRetryable(err):
		if !r.refused.Swap(true) {
			logger.Error("Temporal refuses reports", "kept", kept, "error", err)
		}
	case !r.away.Swap(true):
		logger.Warn("Temporal does not take reports; they are kept and tried again", "error", err)
	}
}

func (r *reporter) close(ctx context.Context) error {
	defer r.done.Wait()
	defer r.stop()
	var cause error
	select {
	case <-r.sender.windows.close():
		return nil
	case <-r.stopped:
		cause = ErrClosed
	case <-ctx.Done():
		cause = context.Cause(ctx)
	}
	left := r.sender.Stats()
	if left.Conversations == 0 {
		return nil
	}
	return &UndrainedError{Conversations: left.Conversations, Unreported: left.Unreported, Cause: cause}
}

// patience is the pause after so many failures, not the same for all, so that
// they do not all come at once.
func patience(failures uint8) time.Duration {
	pause := longestPause
	if failures < 6 {
		pause = firstPause << (failures - 1)
	}
	return pause*3/4 + rand.N(pause/4) //nolint:gosec // not a secret
}

// IsRetryable reports whether an error of a [Sender] goes away by waiting:
// Temporal is away, too slow, or overloaded.
func IsRetryable(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	service, ok := errors.AsType[serviceerror.ServiceError](err)
	if !ok {
		return false
	}
	switch service.Status().Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Canceled, codes.Internal, codes.Unknown:
		return true
	default:
		return false
	}
}
