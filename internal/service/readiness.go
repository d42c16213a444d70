package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"go.temporal.io/sdk/client"

	"sessionkeeper/internal/telemetry"
)

// readiness says whether the worker takes tasks. It has the client while it does.
type readiness struct {
	orgs     *Orgs
	version  atomic.Pointer[version]
	temporal atomic.Pointer[client.Client]
}

func (r *readiness) started(c client.Client, v *version) {
	r.version.Store(v)
	r.temporal.Store(&c)
}

func (r *readiness) stopping() { r.temporal.Store(nil) }

// check is the readiness check of /readyz. A worker with an org whose settings cannot be
// used is ready, and degraded. So is one whose version gets no tasks: a rollout that waits
// for it to be ready would otherwise never come to the step that gives it some.
func (r *readiness) check(ctx context.Context) (degraded string, err error) {
	temporal := r.temporal.Load()
	if temporal == nil {
		return "", errors.New("not connected to Temporal, or stopping")
	}
	var problems []string
	if n := r.orgs.countProblems(); n > 0 {
		problems = append(problems, fmt.Sprintf("settings that cannot be used: %d, see /orgs", n))
	}
	if problem := r.version.Load().degraded(); problem != "" {
		problems = append(problems, problem)
	}
	return strings.Join(problems, "; "), telemetry.Reach(ctx, *temporal)
}
