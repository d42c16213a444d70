package serve

import (
	"context"
	"errors"
	"sync/atomic"

	"go.temporal.io/sdk/client"

	"sessionkeeper/health"
)

// readiness is whether new events are welcome.
type readiness struct {
	temporal client.Client
	draining atomic.Bool
}

func (r *readiness) check(ctx context.Context) error {
	if r.draining.Load() {
		return errors.New("stopping")
	}
	return health.Reach(ctx, r.temporal) //nolint:wrapcheck // it says what was asked
}
