package service

import (
	"cmp"
	"context"
	"fmt"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/zap"

	"sessionkeeper/activities"
	"sessionkeeper/internal/telemetry"
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
	metrics, registry, err := telemetry.NewMetrics(o.Version, o.Logger)
	if err != nil {
		return err
	}
	var ready readiness
	endpoints, err := serve(ctx, o.Listen, telemetry.Handler(registry, ready.check), o.Logger)
	if err != nil {
		return err
	}
	defer endpoints.close(context.WithoutCancel(ctx))

	o.Temporal.Logger, o.Temporal.MetricsHandler = telemetry.ForTemporal(o.Logger), metrics
	temporal, err := dial(ctx, o.Temporal, o.Logger)
	if ctx.Err() != nil {
		o.Logger.Info("Worker stopped before it took work")
		if temporal != nil {
			temporal.Close()
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer temporal.Close()
	fatal := make(chan error, 1)
	w := newWorker(temporal, o.Config, o.Version, func(err error) { fatal <- err })
	workflows.Register(w)
	w.RegisterActivity(activities.New(clients))
	if err := w.Start(); err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	ready.ready(temporal)
	o.Logger.Info("Worker started", zap.String("version", o.Version), zap.String("taskQueue", o.Config.TaskQueue),
		zap.String("namespace", o.Temporal.Namespace), zap.String("temporal", o.Temporal.HostPort),
		zap.String("listen", endpoints.address), zap.Int("orgs", len(clients)))
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

func newWorker(temporal client.Client, config Config, version string, onFatal func(error)) worker.Worker {
	worker.SetStickyWorkflowCacheSize(config.CachedConversations)
	return worker.New(temporal, config.TaskQueue, worker.Options{
		WorkerStopTimeout:            config.StopTimeout,
		TaskQueueActivitiesPerSecond: config.CallsPerSecond,
		// With a fixed number of pollers, conversations that start in a burst
		// waited for half a minute on an idle machine.
		WorkflowTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		ActivityTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		DeploymentOptions:          config.Deployment.options(version),
		OnFatalError:               onFatal,
	})
}

// options are the SDK's. Conversations wait for days, so they move to the
// current version rather than keep the one that started them alive.
func (d *Deployment) options(version string) worker.DeploymentOptions {
	if d == nil {
		return worker.DeploymentOptions{}
	}
	return worker.DeploymentOptions{
		UseVersioning:             true,
		Version:                   worker.WorkerDeploymentVersion{DeploymentName: d.Name, BuildID: cmp.Or(d.BuildID, version)},
		DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
	}
}
