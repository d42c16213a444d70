package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"sessionkeeper/internal/connection"
	"sessionkeeper/internal/preflight"
)

const (
	// checkTimeout limits each question to Temporal.
	checkTimeout = 10 * time.Second
	// clocksDiffer is the difference of two clocks from which on a call costs more: each one
	// sends a heartbeat before its request, see [activities.HeartbeatTimeout].
	clocksDiffer = time.Second
)

// The checks of Temporal.
const (
	answers       = "the server answers"
	isPrivate     = "nobody on the way can read the connection"
	hasNamespace  = "the namespace exists"
	hasAttributes = "the namespace has the search attributes"
	hasPollers    = "workers take tasks"
	hasVersion    = "this version gets tasks"
	clocksAgree   = "this machine's clock is Temporal's"
	isFair        = "fairness is on, so that no org can hold up another one"
)

// checkTemporal checks the server and the namespace.
func checkTemporal(ctx context.Context, o CheckOptions, config Config) preflight.Report {
	c := checks{group: fmt.Sprintf("Temporal at %s, namespace %s", o.Temporal.HostPort, o.Temporal.Namespace)}
	temporal, err := dial(ctx, o.Temporal)
	if err != nil {
		c.failed(answers, err, "Check TEMPORAL_ADDRESS, the TLS settings and the API key.")
		c.skipped(hasNamespace, hasAttributes, hasPollers, clocksAgree)
		return c.report
	}
	defer temporal.Close()
	c.ok(answers, serverVersion(ctx, temporal))
	if connection.IsReadable(o.Temporal) {
		c.warning(isPrivate, "The server is on another machine, and the connection has no TLS.", "Set TEMPORAL_TLS=true.")
	} else {
		c.ok(isPrivate, "")
	}
	if !c.namespaceExists(ctx, temporal, o.Temporal.Namespace) {
		c.skipped(hasAttributes, hasPollers, clocksAgree)
		return c.report
	}
	c.searchAttributes(ctx, temporal, o.Temporal.Namespace)
	queue := config.TaskQueue
	if queue != "" {
		c.pollers(ctx, temporal, o.Temporal.Namespace, queue)
		c.version(ctx, temporal, config.Deployment.options(o.Version))
	}
	c.serverClock(serverAhead(ctx, temporal, o.Temporal.Namespace))
	c.add(preflight.Note, isFair,
		"A client cannot see it. It is a setting of the server, or of the namespace on Temporal Cloud.",
		"A server of your own has matching.enableFairness for it, see deploy/temporal/dynamicconfig.yaml.")
	return c.report
}

func dial(ctx context.Context, options client.Options) (client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return client.DialContext(ctx, options)
}

func serverVersion(ctx context.Context, temporal client.Client) string {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	info, err := temporal.WorkflowService().GetSystemInfo(ctx, &workflowservice.GetSystemInfoRequest{})
	if err != nil {
		return ""
	}
	return "version " + info.GetServerVersion()
}

// namespaceExists reports whether the namespace exists. A server that does not say so may
// answer other questions.
func (c *checks) namespaceExists(ctx context.Context, temporal client.Client, namespace string) bool {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	request := &workflowservice.DescribeNamespaceRequest{Namespace: namespace}
	_, err := temporal.WorkflowService().DescribeNamespace(ctx, request)
	_, notFound := errors.AsType[*serviceerror.NamespaceNotFound](err)
	switch {
	case notFound:
		c.failed(hasNamespace, err, "temporal operator namespace create --namespace "+namespace)
	case isForbidden(err):
		c.add(preflight.Note, hasNamespace, "The server does not allow to describe it.", "")
	case err != nil:
		c.failed(hasNamespace, err, "")
	default:
		c.ok(hasNamespace, "")
	}
	return !notFound
}

func (c *checks) searchAttributes(ctx context.Context, temporal client.Client, namespace string) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := findSearchAttributes(ctx, temporal.OperatorService(), namespace)
	switch {
	case isForbidden(err):
		c.add(preflight.Note, hasAttributes, "The server does not allow to list them.", "")
	case err != nil:
		c.failed(hasAttributes, err, "")
	default:
		c.ok(hasAttributes, "")
	}
}

func (c *checks) pollers(ctx context.Context, temporal client.Client, namespace, queue string) {
	for _, kind := range []enums.TaskQueueType{enums.TASK_QUEUE_TYPE_WORKFLOW, enums.TASK_QUEUE_TYPE_ACTIVITY} {
		pollers, err := pollersOf(ctx, temporal, namespace, queue, kind)
		if err != nil {
			c.failed(hasPollers, err, "")
			return
		}
		if len(pollers) == 0 {
			c.warning(hasPollers, "No worker polls task queue "+queue+".", "Start the workers. Until then, conversations wait.")
			return
		}
	}
	c.ok(hasPollers, "task queue "+queue)
}

func pollersOf(
	ctx context.Context, temporal client.Client, namespace, queue string, kind enums.TaskQueueType,
) ([]*taskqueuepb.PollerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	described, err := temporal.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: namespace, TaskQueue: &taskqueuepb.TaskQueue{Name: queue}, TaskQueueType: kind,
	})
	if err != nil {
		return nil, fmt.Errorf("describe task queue %s: %w", queue, err)
	}
	return described.GetPollers(), nil
}

// version checks the version of the worker, if Worker Versioning is on.
func (c *checks) version(ctx context.Context, temporal client.Client, options worker.DeploymentOptions) {
	if !options.UseVersioning {
		return
	}
	v := version{own: options.Version}
	getsTasks, err := describe(ctx, temporal.WorkerDeploymentClient().GetHandle(v.own.DeploymentName), v.own)
	switch {
	case err != nil:
		c.failed(hasVersion, err, "")
	case !getsTasks:
		c.warning(hasVersion, fmt.Sprintf("Build id %s of deployment %s is neither current nor ramping.",
			v.own.BuildID, v.own.DeploymentName), v.remedy())
	default:
		c.ok(hasVersion, fmt.Sprintf("build id %s of deployment %s", v.own.BuildID, v.own.DeploymentName))
	}
}

// serverClock judges how far Temporal's clock is ahead.
func (c *checks) serverClock(skew time.Duration, err error) {
	switch {
	case err != nil:
		c.add(preflight.Note, clocksAgree, "It cannot be compared: "+err.Error(), "")
	case skew.Abs() > clocksDiffer:
		c.warning(clocksAgree, fmt.Sprintf("Temporal's clock is %s ahead.", skew.Round(100*time.Millisecond)),
			"Synchronize the clocks of all machines (NTP). Otherwise times are wrong, and each call sends a heartbeat first.")
	default:
		c.ok(clocksAgree, fmt.Sprintf("they differ by %s", skew.Abs().Round(10*time.Millisecond)))
	}
}

// serverAhead compares the clocks. Temporal tells its time with each poller of a task queue,
// so this polls a task queue of its own, which never has a task.
func serverAhead(ctx context.Context, temporal client.Client, namespace string) (time.Duration, error) {
	queue := "sessionkeeper-check-" + uuid.NewString()
	asking, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	polling, stop := context.WithTimeout(ctx, time.Minute) // a shorter poll is warned of by the server
	defer stop()
	began := time.Now()
	go func() {
		_, _ = temporal.WorkflowService().PollActivityTaskQueue(polling, &workflowservice.PollActivityTaskQueueRequest{
			Namespace: namespace, TaskQueue: &taskqueuepb.TaskQueue{Name: queue}, Identity: "worker check",
		})
	}()
	for asking.Err() == nil {
		pollers, err := pollersOf(asking, temporal, namespace, queue, enums.TASK_QUEUE_TYPE_ACTIVITY)
		if err != nil {
			return 0, err
		}
		if len(pollers) > 0 {
			// The poll arrived between its beginning and now.
			middle := began.Add(time.Since(began) / 2)
			return pollers[0].GetLastAccessTime().AsTime().Sub(middle), nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return 0, asking.Err()
}
