package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"
)

// dial connects and checks the namespace, waiting while Temporal is away. It
// returns the context's error when that ends first.
func dial(ctx context.Context, options client.Options, logger *zap.Logger) (client.Client, error) {
	wait := backoff.NewExponentialBackOff()
	wait.MaxInterval = 10 * time.Second
	return backoff.Retry(ctx, func() (client.Client, error) { //nolint:wrapcheck // wrapped inside
		temporal, err := connect(ctx, options, logger)
		if err != nil && !away(err) {
			return nil, backoff.Permanent(err)
		}
		return temporal, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, next time.Duration) {
		logger.Warn("Waiting for Temporal", zap.Error(err), zap.Duration("next", next))
	}))
}

func connect(ctx context.Context, options client.Options, logger *zap.Logger) (client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	temporal, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("connect to Temporal at %s: %w", options.HostPort, err)
	}
	if err := checkSearchAttributes(ctx, temporal.OperatorService(), options.Namespace, logger); err != nil {
		temporal.Close()
		return nil, err
	}
	return temporal, nil
}

// away reports whether Temporal did not answer, or has no time to.
func away(err error) bool {
	var (
		unavailable *serviceerror.Unavailable
		timeout     *serviceerror.DeadlineExceeded
		exhausted   *serviceerror.ResourceExhausted
	)
	return errors.As(err, &unavailable) || errors.As(err, &timeout) || errors.As(err, &exhausted) ||
		errors.Is(err, context.DeadlineExceeded)
}
