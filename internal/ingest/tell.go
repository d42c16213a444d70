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
	// patience is how long Temporal may take for one event before it is asked
	// again.
	patience = 10 * time.Second
	// longestWait bounds how late the end of an outage is noticed.
	longestWait = 5 * time.Second
)

// work tells the events of one lane, in order.
func (r *run) work(ctx context.Context, lane <-chan task) error {
	for t := range lane {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := r.tell(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) tell(ctx context.Context, t task) error {
	receipt, err := backoff.Retry(ctx, func() (sender.Receipt, error) {
		attempt, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		receipt, err := t.event.Send(attempt, r.sender)
		if err != nil && !sender.IsRetryable(err) && !errors.Is(err, sender.ErrFull) {
			return receipt, backoff.Permanent(err)
		}
		return receipt, err
	}, backoff.WithMaxElapsedTime(0), backoff.WithBackOff(waits()), backoff.WithNotify(func(err error, _ time.Duration) {
		r.Progress.waits.Add(1)
		r.outage.waiting(t.number, err)
	}))
	switch {
	case err == nil:
		r.accepted.Store(true)
		r.outage.over()
		r.Progress.count(receipt)
		r.ledger.done(t.number)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case r.refused(err):
		return r.reject(t.line, err)
	default:
		return fmt.Errorf("line %d: %w", t.number, err)
	}
}

func waits() backoff.BackOff {
	between := backoff.NewExponentialBackOff()
	between.MaxInterval = longestWait
	return between
}

// refused reports whether only this event is at fault. Where Temporal has not
// taken any yet, it is rather the set-up, such as a search attribute that is
// not registered, and would be the same for all.
func (r *run) refused(err error) bool {
	var invalid *conversation.InvalidError
	return errors.As(err, &invalid) || r.accepted.Load() && code(err) == codes.InvalidArgument
}

func code(err error) codes.Code {
	if service, ok := errors.AsType[serviceerror.ServiceError](err); ok {
		return service.Status().Code()
	}
	return codes.OK
}
