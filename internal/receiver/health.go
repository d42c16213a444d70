package receiver

import (
	"context"
	"errors"
	"sync/atomic"

	"go.temporal.io/sdk/client"

	"sessionkeeper/internal/telemetry"
)

// readiness is the answer of /readyz: ready from the first contact with Temporal
// until the stop begins. An instance stays ready while Temporal is unreachable
// later. Otherwise a load balancer would remove every instance, and clients would
// get no answer instead of a 503.
type readiness struct {
	temporal  client.Client
	connected atomic.Bool
	stopping  atomic.Bool
}

func (r *readiness) check(ctx context.Context) error {
	if r.stopping.Load() {
		return errors.New("stopping")
	}
	if r.connected.Load() {
		return nil
	}
	err := telemetry.Reach(ctx, r.temporal)
	r.connected.Store(err == nil)
	return err
}
