package service

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"go.temporal.io/sdk/client"

	"sessionkeeper/internal/telemetry"
)

// readiness says whether the worker takes tasks. It has the client while it does.
type readiness struct {
	orgs     *Orgs
	temporal atomic.Pointer[client.Client]
}

func (r *readiness) started(c client.Client) { r.temporal.Store(&c) }
func (r *readiness) stopping()               { r.temporal.Store(nil) }

// check is the readiness check of /readyz. A worker with an org whose settings cannot be
// used is ready, and degraded.
func (r *readiness) check(ctx context.Context) (degraded string, err error) {
	temporal := r.temporal.Load()
	if temporal == nil {
		return "", errors.New("not connected to Temporal, or stopping")
	}
	if n := r.orgs.countProblems(); n > 0 {
		degraded = fmt.Sprintf("settings that cannot be used: %d, see /orgs", n)
	}
	return degraded, telemetry.Reach(ctx, *temporal)
}
