package activities

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
)

// claim is how long an attempt may send requests: until shortly before Temporal may start
// another attempt. Without heartbeats, Temporal does that after [HeartbeatTimeout]. A call
// that lasts sends heartbeats, and each one that Temporal acknowledges extends the claim.
//
// So the request of a worker that cannot reach Temporal, or was stopped, is over before
// another worker makes the call again.
//
// A claim is a context that ends with it. Its Err asks the clock, because the timer of a
// process that was stopped may be late.
type claim struct {
	context.Context
	cancel    context.CancelCauseFunc
	heartbeat func(context.Context) error
	timeout   time.Duration
	timer     *time.Timer
	running   sync.WaitGroup

	mu    sync.Mutex
	until time.Time
}

// ErrInterrupted is the error of a call that was ended because Temporal did not acknowledge
// its heartbeats.
var ErrInterrupted = errors.New("the worker lost its connection to Temporal, so another one may make the call")

// newClaim returns the claim of an attempt that Temporal has started at a time by its own
// clock. If that is not just now, the attempt may be over: the task may have waited in a
// process that was stopped. Then Temporal is asked.
func newClaim(
	ctx context.Context, started time.Time, timeout time.Duration, heartbeat func(context.Context) error,
) (*claim, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	now := time.Now()
	c := &claim{Context: ctx, cancel: cancel, heartbeat: heartbeat, timeout: timeout}
	c.until = now.Add(timeout - ClaimMargin)
	if age := now.Sub(started); age < -startDelay || age > startDelay {
		if !c.extend() { //nolint:contextcheck // a claim is a context
			cancel(nil)
			return nil, ErrInterrupted
		}
	}
	c.timer = time.AfterFunc(time.Until(c.end()), func() { cancel(ErrInterrupted) })
	c.running.Go(c.keep)
	return c, nil
}

// release ends the claim. No heartbeat is sent afterwards.
func (c *claim) release() {
	c.cancel(nil)
	c.timer.Stop()
	c.running.Wait()
}

// Err is that of a context.
func (c *claim) Err() error {
	if !time.Now().Before(c.end()) {
		c.cancel(ErrInterrupted)
	}
	return c.Context.Err()
}

// wasLost reports whether the claim has ended before it was released.
func (c *claim) wasLost() bool { return errors.Is(context.Cause(c.Context), ErrInterrupted) }

func (c *claim) end() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.until
}

// keep sends heartbeats until the claim ends.
func (c *claim) keep() {
	pause := time.NewTicker(HeartbeatInterval)
	defer pause.Stop()
	for {
		select {
		case <-c.Done():
			return
		case <-pause.C:
		}
		if c.extend() {
			c.timer.Reset(time.Until(c.end()))
		}
	}
}

// extend sends a heartbeat, and reports whether Temporal has acknowledged it.
func (c *claim) extend() bool {
	ctx, cancel := context.WithTimeout(c.Context, heartbeatRequestTimeout)
	defer cancel()
	sent := time.Now()
	err := c.heartbeat(ctx)
	if _, over := errors.AsType[*serviceerror.NotFound](err); over {
		c.cancel(ErrInterrupted)
	}
	if !isAcknowledged(err) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = sent.Add(c.timeout - ClaimMargin)
	return true
}

// isAcknowledged reports whether Temporal has recorded a heartbeat. It tells in its answer
// that the workflow has cancelled the call, or that an operator has paused or reset the
// activity: the attempt may end all the same.
func isAcknowledged(err error) bool {
	return err == nil || temporal.IsCanceledError(err) ||
		errors.Is(err, activity.ErrActivityPaused) || errors.Is(err, activity.ErrActivityReset)
}

// interrupted adds to the error of a call that its claim was lost.
func interrupted(err error) error {
	if err == nil || errors.Is(err, ErrInterrupted) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrInterrupted, err)
}
