package service

import (
	"context"
	"errors"
	"sync/atomic"

	"go.temporal.io/sdk/client"

	"sessionkeeper/internal/telemetry"
)

// readiness says whether the worker takes tasks. It has the client while it does.
type readiness struct {
	temporal atomic.Pointer[client.Client]
}

func (r *readiness) started(c client.Client) { r.temporal.Store(&c) }
func (r *readiness) stopping()               { r.temporal.Store(nil) }

// check is the readiness check of /readyz.
func (r *readiness) check(ctx context.Context) error {
	temporal := r.temporal.Load()
	if temporal == nil {
		return errors.New("not connected to Temporal, or stopping")
	}
	return telemetry.Reach(ctx, *temporal)
}
