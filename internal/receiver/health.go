package receiver

import (
	"context"
	"errors"
	"sync/atomic"

	"go.temporal.io/sdk/client"

	"sessionkeeper/internal/telemetry"
)

// readiness is whether new events are welcome: once Temporal was reached, until
// the stop. While Temporal is away later, clients are to hear so from us; a load
// balancer that takes every instance away would leave them without an answer.
type readiness struct {
	temporal client.Client
	reached  atomic.Bool
	draining atomic.Bool
}

func (r *readiness) check(ctx context.Context) error {
	if r.draining.Load() {
		return errors.New("stopping")
	}
	if r.reached.Load() {
		return nil
	}
	err := telemetry.Reach(ctx, r.temporal)
	r.reached.Store(err == nil)
	return err //nolint:wrapcheck // it says what was asked
}
