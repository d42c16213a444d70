package service

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/zap"

	"sessionkeeper/activities"
	"sessionkeeper/internal/connection"
	"sessionkeeper/internal/seal"
	"sessionkeeper/internal/secretfile"
	"sessionkeeper/internal/telemetry"
	"sessionkeeper/workflows"
)

// Options are the arguments of [Run].
type Options struct {
	Config Config
	// ConfigFile is the file of the configuration, to follow its changes. Empty for not to.
	ConfigFile string
	// Temporal has the settings of the connection. Run sets its logger and its
	// metrics.
	Temporal client.Options
	// Keys are the keys that Temporal's options encrypt payloads with, nil for none.
	Keys *seal.Keys
	// Listen is the address of /healthz, /readyz and /metrics.
	Listen  string
	Logger  *zap.Logger
	Version string
	// Started, if set, is called when the worker takes tasks, with the address on
	// which it listens.
	Started func(address string)
}

// Run runs the worker until ctx ends. Then calls in flight may finish for
// [Config].StopTimeout. If Temporal is unavailable at the start, Run waits for it.
// Run returns nil after a graceful stop.
func Run(ctx context.Context, o Options) error {
	orgs := NewOrgs(o.Config, o.Version, o.Logger)
	warnOfExposure(o)
	o.Keys.Watch(ctx, telemetry.Slog(o.Logger))
	metrics, registry, err := telemetry.NewMetrics(o.Version, o.Logger)
	if err != nil {
		return err
	}
	ready := readiness{orgs: orgs}
	registry.MustRegister(orgs)
	mux := http.NewServeMux()
	mux.Handle("GET /orgs", orgs)
	mux.Handle("/", telemetry.Handler(registry, ready.check))
	server, err := telemetry.Serve(ctx, o.Listen, telemetry.SafeHeaders(mux), func(err error) {
		o.Logger.Error("Health and metrics stopped", zap.Error(err))
	})
	if err != nil {
		return err
	}
	defer server.Close(context.WithoutCancel(ctx))

	o.Temporal.Logger, o.Temporal.MetricsHandler = telemetry.ForTemporal(o.Logger), metrics
	temporal, err := connect(ctx, o.Temporal, o.Logger)
	if ctx.Err() != nil {
		o.Logger.Info("Worker stopped before it was connected to Temporal")
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
	w.RegisterActivity(activities.New(orgs))
	if err := w.Start(); err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	v := watchVersion(ctx, temporal, o.Config.Deployment.options(o.Version), o.Logger)
	if v != nil {
		registry.MustRegister(v)
	}
	ready.started(temporal, v)
	r := repairs{temporal.WorkflowService(), o.Temporal.Namespace, o.Logger, repairDelay}
	r.added(ctx, orgs.usable())
	if o.ConfigFile != "" {
		orgs.Watch(ctx, o.ConfigFile, func(orgs []string) { r.repaired(ctx, orgs) })
	}
	o.Logger.Info("Worker started", zap.String("version", o.Version), zap.String("taskQueue", o.Config.TaskQueue),
		zap.String("namespace", o.Temporal.Namespace), zap.String("temporal", o.Temporal.HostPort),
		zap.String("listen", server.Address()), zap.Int("orgs", len(orgs.Statuses())))
	if o.Started != nil {
		o.Started(server.Address())
	}

	select {
	case <-ctx.Done():
		o.Logger.Info("Worker stopping: waiting for calls in flight", zap.Duration("atMost", o.Config.StopTimeout))
	case err = <-fatal:
		err = fmt.Errorf("worker failed: %w", err)
	}
	ready.stopping()
	w.Stop()
	o.Logger.Info("Worker stopped")
	return err
}

// warnOfExposure warns of what other users or machines could read or change.
func warnOfExposure(o Options) {
	if connection.IsReadable(o.Temporal) {
		o.Logger.Warn("Temporal is on another machine and the connection has no TLS: payloads can be read on the way",
			zap.String("temporal", o.Temporal.HostPort))
	}
	for _, org := range o.Config.Orgs {
		for _, path := range org.secretFiles() {
			if exposure := secretfile.Exposure(path); exposure != "" {
				o.Logger.Warn("A file with a secret "+exposure, zap.String("file", path), zap.String("orgId", org.OrgID))
			}
		}
	}
}

func newWorker(temporal client.Client, config Config, version string, onFatal func(error)) worker.Worker {
	worker.SetStickyWorkflowCacheSize(config.CachedConversations)
	pollers := worker.PollerBehaviorAutoscalingOptions{
		InitialNumberOfPollers: min(5, config.MaxPollers), MaximumNumberOfPollers: config.MaxPollers,
	}
	return worker.New(temporal, config.TaskQueue, worker.Options{
		MaxConcurrentActivityExecutionSize:     config.CallSlots,
		MaxConcurrentWorkflowTaskExecutionSize: config.WorkflowTaskSlots,
		WorkerStopTimeout:                      config.StopTimeout,
		// A conversation that is cached on a worker which has died waits so long for its next
		// task. The default is five seconds.
		StickyScheduleToStartTimeout: time.Second,
		// With a fixed number of pollers, conversations that started in a burst
		// waited up to 30 seconds for their first task, on an idle machine.
		WorkflowTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(pollers),
		ActivityTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(pollers),
		DeploymentOptions:          config.Deployment.options(version),
		OnFatalError:               onFatal,
	})
}

// options returns the settings of Worker Versioning for the SDK. Conversations
// last for days. So they upgrade to the current version, and workers of older
// versions can stop.
func (d *Deployment) options(version string) worker.DeploymentOptions {
	if d == nil {
		return worker.DeploymentOptions{}
	}
	return worker.DeploymentOptions{
		UseVersioning: true,
		Version: worker.WorkerDeploymentVersion{
			DeploymentName: d.Name, BuildID: cmp.Or(d.BuildID, version),
		},
		DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
	}
}
