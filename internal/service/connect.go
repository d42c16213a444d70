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

// connect connects to Temporal and checks the namespace. It tries again while
// Temporal is unavailable. If ctx ends first, it returns the error of ctx.
func connect(ctx context.Context, options client.Options, logger *zap.Logger) (client.Client, error) {
	interval := backoff.NewExponentialBackOff()
	interval.MaxInterval = 10 * time.Second
	return backoff.Retry(ctx, func() (client.Client, error) {
		temporal, err := tryConnect(ctx, options, logger)
		if err != nil && !isUnavailable(err) {
			return nil, backoff.Permanent(err)
		}
		return temporal, err
	}, backoff.WithBackOff(interval), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error,
		next time.Duration,
	) {
		logger.Warn("Waiting for Temporal", zap.Error(err), zap.Duration("next", next))
	}))
}

func tryConnect(ctx context.Context, options client.Options, logger *zap.Logger) (client.Client, error) {
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

// isUnavailable reports whether Temporal did not answer or is overloaded, so that
// a later attempt may succeed.
func isUnavailable(err error) bool {
	_, unavailable := errors.AsType[*serviceerror.Unavailable](err)
	_, timeout := errors.AsType[*serviceerror.DeadlineExceeded](err)
	_, overloaded := errors.AsType[*serviceerror.ResourceExhausted](err)
	return unavailable || timeout || overloaded || errors.Is(err, context.DeadlineExceeded)
}
