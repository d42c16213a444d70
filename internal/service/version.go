package service

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.uber.org/zap"
)

// versionInterval is how often the worker asks Temporal whether its version gets tasks.
const versionInterval = 15 * time.Second

// version watches whether a worker's version of a Worker Deployment gets tasks. A version
// that is neither current nor ramping gets none: its worker is connected, and does nothing.
type version struct {
	own    worker.WorkerDeploymentVersion
	logger *zap.Logger
	// withoutTasks: the version gets no tasks.
	withoutTasks atomic.Bool
}

// watchVersion follows the version until ctx ends. It returns nil if Worker Versioning is off.
func watchVersion(
	ctx context.Context, temporal client.Client, options worker.DeploymentOptions, logger *zap.Logger,
) *version {
	if !options.UseVersioning {
		return nil
	}
	v := &version{own: options.Version, logger: logger}
	deployment := temporal.WorkerDeploymentClient().GetHandle(v.own.DeploymentName)
	go func() {
		ticker := time.NewTicker(versionInterval)
		defer ticker.Stop()
		for known := false; ; {
			getsTasks, err := describe(ctx, deployment, v.own)
			if err == nil {
				v.set(getsTasks, known)
				known = true
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	return v
}

// describe asks whether a version gets tasks. A deployment that Temporal does not know yet
// has no version that does.
func describe(
	ctx context.Context, deployment client.WorkerDeploymentHandle, own worker.WorkerDeploymentVersion,
) (getsTasks bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, versionInterval)
	defer cancel()
	described, err := deployment.Describe(ctx, client.WorkerDeploymentDescribeOptions{})
	if _, unknown := errors.AsType[*serviceerror.NotFound](err); unknown {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("describe Worker Deployment: %w", err)
	}
	routing := described.Info.RoutingConfig
	isCurrent := routing.CurrentVersion != nil && *routing.CurrentVersion == own
	isRamping := routing.RampingVersion != nil && *routing.RampingVersion == own && routing.RampingVersionPercentage > 0
	return isCurrent || isRamping, nil
}

// set logs a change.
func (v *version) set(getsTasks, known bool) {
	if v.withoutTasks.Swap(!getsTasks) == !getsTasks && known {
		return
	}
	version := []zap.Field{zap.String("deployment", v.own.DeploymentName), zap.String("buildId", v.own.BuildID)}
	if getsTasks {
		v.logger.Info("This worker's version gets tasks", version...)
		return
	}
	v.logger.Warn("This worker's version gets no tasks", append(version, zap.String("remedy", v.remedy()))...)
}

// remedy is the command that gives the version tasks.
func (v *version) remedy() string {
	return fmt.Sprintf("temporal worker deployment set-current-version --deployment-name %q --build-id %q",
		v.own.DeploymentName, v.own.BuildID)
}

// degraded says that the version gets no tasks, empty if it does or is not known.
func (v *version) degraded() string {
	if v == nil || !v.withoutTasks.Load() {
		return ""
	}
	return "this worker's version gets no tasks: " + v.remedy()
}

// Describe implements [prometheus.Collector].
func (v *version) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- versionWithoutTasks }

// Collect implements [prometheus.Collector].
func (v *version) Collect(metrics chan<- prometheus.Metric) {
	value := 0.0
	if v.withoutTasks.Load() {
		value = 1
	}
	metrics <- prometheus.MustNewConstMetric(versionWithoutTasks, prometheus.GaugeValue, value)
}

var versionWithoutTasks = prometheus.NewDesc("sessionkeeper_version_without_tasks",
	"1 if this worker's version of the Worker Deployment is neither current nor ramping", nil, nil)
