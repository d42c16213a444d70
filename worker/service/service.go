package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.uber.org/zap"

	"sessionkeeper/activities"
	"sessionkeeper/workflows"
)

// Options are what [Run] needs.
type Options struct {
	Config Config
	// Temporal is how to connect. Logger and metrics are set by Run.
	Temporal client.Options
	// Listen is the address of /healthz, /readyz and /metrics.
	Listen  string
	Logger  *zap.Logger
	Version string
	// Started, where set, is called once the worker takes work, with the address
	// that it listens on.
	Started func(address string)
}

// Run works until ctx ends, then lets the calls under way finish for the
// configured time. While Temporal cannot be reached at the start, it waits. It
// returns nil after a graceful stop.
func Run(ctx context.Context, o Options) error {
	clients, err := o.Config.Clients(o.Version)
	if err != nil {
		return err
	}
	metrics, registry, err := newMetrics(o.Logger)
	if err != nil {
		return err
	}
	var ready readiness
	endpoints, err := serve(ctx, o.Listen, registry, &ready, o.Logger)
	if err != nil {
		return err
	}
	defer endpoints.close()

	o.Temporal.Logger, o.Temporal.MetricsHandler = forTemporal(o.Logger), metrics
	temporal, err := dial(ctx, o)
	if err != nil || temporal == nil {
		return err
	}
	defer temporal.Close()
	fatal := make(chan error, 1)
	w := newWorker(temporal, o.Config, func(err error) { fatal <- err })
	workflows.Register(w)
	w.RegisterActivity(activities.New(clients))
	if err := w.Start(); err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	ready.ready(temporal)
	o.Logger.Info("Worker started", zap.String("taskQueue", o.Config.TaskQueue), zap.String("namespace", o.Temporal.Namespace),
		zap.String("temporal", o.Temporal.HostPort), zap.String("listen", endpoints.address), zap.Int("orgs", len(clients)))
	if o.Started != nil {
		o.Started(endpoints.address)
	}

	select {
	case <-ctx.Done():
		o.Logger.Info("Worker stopping: calls under way may finish", zap.Duration("atMost", o.Config.StopTimeout))
	case err = <-fatal:
		err = fmt.Errorf("worker failed: %w", err)
	}
	ready.stopping()
	w.Stop()
	o.Logger.Info("Worker stopped")
	return err
}

func newWorker(temporal client.Client, config Config, onFatal func(error)) worker.Worker {
	worker.SetStickyWorkflowCacheSize(config.CachedConversations)
	return worker.New(temporal, config.TaskQueue, worker.Options{
		WorkerStopTimeout:            config.StopTimeout,
		TaskQueueActivitiesPerSecond: config.CallsPerSecond,
		// With a fixed number of pollers, conversations that start in a burst
		// waited for half a minute on an idle machine.
		WorkflowTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		ActivityTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		OnFatalError:               onFatal,
	})
}

// dial connects and checks the namespace, waiting while Temporal is away. It
// returns nil without an error when ctx ends first.
func dial(ctx context.Context, o Options) (client.Client, error) {
	temporal, err := backoff.Retry(ctx, func() (client.Client, error) {
		attempt, cancel := context.WithTimeout(ctx, 15*time.Second)
		defer cancel()
		temporal, err := client.DialContext(attempt, o.Temporal)
		if err != nil {
			return nil, unlessAway(fmt.Errorf("connect to Temporal at %s: %w", o.Temporal.HostPort, err))
		}
		if err := checkSearchAttributes(attempt, temporal, o.Temporal.Namespace, o.Logger); err != nil {
			temporal.Close()
			return nil, unlessAway(err)
		}
		return temporal, nil
	}, backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, wait time.Duration) {
		o.Logger.Warn("Waiting for Temporal", zap.Error(err), zap.Duration("next", wait))
	}))
	if ctx.Err() != nil {
		return nil, nil //nolint:nilnil // stopped before there was anything to stop
	}
	return temporal, err //nolint:wrapcheck // wrapped inside
}

// unlessAway makes an error final, unless waiting may help.
func unlessAway(err error) error {
	var away *serviceerror.Unavailable
	if errors.As(err, &away) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return backoff.Permanent(err)
}
