// Package receiver is the HTTP door of sessionkeeper: it takes a routing system's
// CloudEvents, passes them on by a [sender.Sender], and tells how a conversation
// stands. Its description is openapi.yaml, which it also serves.
package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"sessionkeeper/internal/telemetry"
	"sessionkeeper/sender"
)

// Options are what [Run] needs.
type Options struct {
	// Temporal is how to connect. Logger and metrics are set by Run. The
	// connection is made with the first call, so Temporal may be away.
	Temporal client.Options
	// Sender passes the events on. Its Logger is set by Run.
	Sender sender.Options
	// Listen is the address of the door.
	Listen string
	// MetricsListen is the address of /healthz, /readyz and /metrics, which need
	// no token.
	MetricsListen string
	// Tokens open the door. Without them everybody may come in, which is allowed
	// on a loopback address only.
	Tokens *Tokens
	// Certificate and Key are PEM files. Without them it speaks plain HTTP.
	Certificate, Key string
	Limits           Limits
	// DrainTimeout is how long a stop may take: requests under way finish, for
	// which they have at most half of it, then what was absorbed is reported.
	// Default [DefaultDrainTimeout].
	DrainTimeout time.Duration
	// Logger gets one line per problem, not per event, and never a token or
	// personal data.
	Logger *slog.Logger
	// Started, where set, is called with both addresses once requests are taken.
	Started func(door, metrics string)
}

// DefaultDrainTimeout is less than the 30 seconds that Kubernetes leaves a pod
// between SIGTERM and SIGKILL.
const DefaultDrainTimeout = 25 * time.Second

// UndrainedError is the error of a stop that did not finish in time.
type UndrainedError struct {
	// Cut: requests were still under way and have been cut off.
	Cut bool
	// Cause is nil or the sender's [*sender.UndrainedError].
	Cause error
}

// Error implements error.
func (e *UndrainedError) Error() string {
	switch {
	case e.Cause == nil:
		return "requests under way were cut off"
	case e.Cut:
		return "requests under way were cut off; " + e.Cause.Error()
	default:
		return e.Cause.Error()
	}
}

// Unwrap returns the cause.
func (e *UndrainedError) Unwrap() error { return e.Cause }

// Run serves until ctx ends, then stops gracefully: it is no longer ready, takes
// no more requests, finishes those under way and reports what was absorbed. It
// returns nil when nothing was left, else a [*UndrainedError].
func Run(ctx context.Context, o Options) error {
	metrics, err := newMetrics(o.Logger)
	if err != nil {
		return err
	}
	o.Temporal.Logger, o.Temporal.MetricsHandler = log.NewStructuredLogger(o.Logger), metrics.temporal
	temporal, err := client.NewLazyClient(o.Temporal)
	if err != nil {
		return fmt.Errorf("connect to Temporal at %s: %w", o.Temporal.HostPort, err)
	}
	defer temporal.Close()
	open, err := o.listen(ctx)
	if err != nil {
		return err
	}
	defer open.close()

	o.Sender.Logger = o.Logger
	s := sender.New(temporal, o.Sender) //nolint:contextcheck // it lives until it is closed
	metrics.watch(s)
	ready := &readiness{temporal: temporal}
	limits := o.Limits.withDefaults()
	door := limits.server(newDoor(s, o.Tokens, limits, metrics, o.Logger), o.Logger)
	watched := &http.Server{Handler: telemetry.Handler(metrics.registry, ready.check), ReadHeaderTimeout: headerTimeout}
	defer watched.Close()
	stopped := make(chan error, 2)
	go func() { stopped <- watched.Serve(open.health) }()
	go func() { stopped <- door.Serve(open.door) }()
	stopFollowing := o.Tokens.follow(ctx, o.Logger)
	defer stopFollowing()
	o.Logger.Info("Serving", "listen", open.door.Addr().String(), "metrics", open.health.Addr().String(),
		"temporal", o.Temporal.HostPort, "namespace", o.Temporal.Namespace)
	if o.Started != nil {
		o.Started(open.door.Addr().String(), open.health.Addr().String())
	}

	select {
	case <-ctx.Done():
	case err = <-stopped:
		err = fmt.Errorf("serve: %w", err)
	}
	ready.draining.Store(true)
	return errors.Join(err, o.drain(context.WithoutCancel(ctx), door, s))
}

// drain lets the requests under way finish and reports what was absorbed.
func (o Options) drain(ctx context.Context, door *http.Server, s *sender.Sender) error {
	limit := o.DrainTimeout
	if limit <= 0 {
		limit = DefaultDrainTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	o.Logger.Info("Stopping: requests under way may finish, what was absorbed is reported", "atMost", limit.String())
	finishing, stop := context.WithTimeout(ctx, limit/2)
	defer stop()
	left := UndrainedError{Cut: door.Shutdown(finishing) != nil}
	_ = door.Close()
	left.Cause = s.Close(ctx)
	if left.Cut || left.Cause != nil {
		return &left
	}
	stats := s.Stats()
	o.Logger.Info("Stopped, nothing is left", "absorbed", stats.Absorbed, "reports", stats.Reports)
	return nil
}
