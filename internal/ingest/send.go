package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.temporal.io/api/serviceerror"
	"google.golang.org/grpc/codes"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

const (
	// attemptTimeout is how long Temporal may take for one event. Then the event
	// is sent again.
	attemptTimeout = 10 * time.Second
	// maxBackoff bounds how late the end of an outage is noticed.
	maxBackoff = 5 * time.Second
)

// send sends an event. A message may cover others that were held back with it: they
// are done when it is, or rejected with it.
func (r *run) send(ctx context.Context, t task, covers ...line) error {
	intervals := backoff.NewExponentialBackOff()
	intervals.MaxInterval = maxBackoff
	receipt, err := backoff.Retry(ctx, func() (sender.Receipt, error) {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		receipt, err := t.event.Send(attempt, r.sender)
		if err != nil && !r.isRetryable(err) {
			return receipt, backoff.Permanent(err)
		}
		return receipt, err
	}, backoff.WithMaxElapsedTime(0), backoff.WithBackOff(intervals), backoff.WithNotify(func(err error, _ time.Duration) {
		r.Progress.waits.Add(1)
		r.outage.waiting(t.number, err)
	}))
	switch {
	case err == nil:
		r.accepted.Store(true)
		r.outage.over()
		r.Progress.addReceipt(receipt)
		r.offsets.done(t.number)
		for _, l := range covers {
			r.Progress.addReceipt(sender.Absorbed)
			r.offsets.done(l.number)
		}
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case r.concernsEventOnly(err):
		for _, l := range append(covers, t.line) {
			if err := r.reject(l, err); err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("line %d: %w", t.number, err)
	}
}

// isRetryable reports whether an event is sent again. As long as Temporal has accepted no
// event, a missing namespace is more likely a wrong name than a server that is starting.
func (r *run) isRetryable(err error) bool {
	if _, missing := errors.AsType[*serviceerror.NamespaceNotFound](err); missing {
		return r.accepted.Load()
	}
	return sender.IsRetryable(err) || errors.Is(err, sender.ErrFull)
}

// concernsEventOnly reports whether only this event is rejected. As long as
// Temporal has accepted no event, the cause is more likely the set-up, such as a
// search attribute that is not registered. Then every event would be rejected.
func (r *run) concernsEventOnly(err error) bool {
	if _, invalid := errors.AsType[*conversation.InvalidError](err); invalid {
		return true
	}
	rejection, ok := errors.AsType[serviceerror.ServiceError](err)
	return ok && r.accepted.Load() && rejection.Status().Code() == codes.InvalidArgument
}
