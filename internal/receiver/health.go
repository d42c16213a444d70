package receiver

import (
	"context"
	"errors"
	"sync/atomic"

	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"

	"sessionkeeper/internal/telemetry"
)

// readiness is the answer of /readyz: ready from the first contact with Temporal
// until the stop begins. An instance stays ready while Temporal is unreachable
// later. Otherwise a load balancer would remove every instance, and clients would
// get no answer instead of a 503.
//
// The contact may be that of any request, not only of /readyz.
type readiness struct {
	temporal  client.Client
	connected atomic.Bool
	stopping  atomic.Bool
}

func (r *readiness) check(ctx context.Context) (degraded string, err error) {
	if r.stopping.Load() {
		return "", errors.New("stopping")
	}
	if r.connected.Load() {
		return "", nil
	}
	return "", telemetry.Reach(ctx, r.temporal)
}

// observe is an interceptor of the client of Temporal.
func (r *readiness) observe(
	ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker,
	options ...grpc.CallOption,
) error {
	err := invoke(ctx, method, request, reply, connection, options...)
	if err == nil {
		r.connected.Store(true)
	}
	return err
}
