package simulation

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/types/known/timestamppb"

	"sessionkeeper/conversation"
)

// connection is the Temporal client of one process: the methods that package sender
// uses. Every one is a request to the stand-in.
type connection struct {
	client.Client
	world   *world
	process int
	once    sync.Once
	dead    chan struct{}
}

var errKilled = errors.New("the process was killed")

func (c *connection) kill() { c.once.Do(func() { close(c.dead) }) }

func (c *connection) isAlive() bool {
	select {
	case <-c.dead:
		return false
	default:
		return true
	}
}

// request makes a request. what orders the requests of one moment.
func (c *connection) request(ctx context.Context, what string, serve func(reply func(any, error))) (any, error) {
	if !c.isAlive() {
		return nil, errKilled
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-c.dead:
			cancel(errKilled)
		case <-ctx.Done():
		}
	}()
	return c.world.send(ctx, &request{process: c.process, what: what, serve: serve})
}

// do makes a request that the server answers at once.
func (c *connection) do(ctx context.Context, what string, serve func(*server) (any, error)) (any, error) {
	return c.request(ctx, what, func(reply func(any, error)) { reply(serve(c.world.temporal)) })
}

// ExecuteWorkflow implements client.Client.
func (c *connection) ExecuteWorkflow(
	ctx context.Context, o client.StartWorkflowOptions, _ any, args ...any,
) (client.WorkflowRun, error) {
	start := args[0].(conversation.Start) //nolint:errcheck // the only input of the workflow
	_, err := c.do(ctx, "start", func(s *server) (any, error) {
		if open := s.open(); open != nil {
			return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("it runs", "", open.id)
		}
		return s.startOrUse(start, o.WorkflowIDReusePolicy)
	})
	return nil, err
}

// SignalWithStartWorkflow implements client.Client.
func (c *connection) SignalWithStartWorkflow(
	ctx context.Context, _, name string, payload any, o client.StartWorkflowOptions, _ any, args ...any,
) (client.WorkflowRun, error) {
	start := args[0].(conversation.Start) //nolint:errcheck // the only input of the workflow
	_, err := c.do(ctx, fmt.Sprint("signal ", name, payload), func(s *server) (any, error) {
		if _, err := s.startOrUse(start, o.WorkflowIDReusePolicy); err != nil {
			return nil, err
		}
		return nil, s.signal(name, payload)
	})
	return nil, err
}

// SignalWorkflow implements client.Client.
func (c *connection) SignalWorkflow(ctx context.Context, _, _, name string, payload any) error {
	_, err := c.do(ctx, fmt.Sprint("signal ", name, payload), func(s *server) (any, error) {
		return nil, s.signal(name, payload)
	})
	return err
}

// withStart is the start of an update-with-start.
type withStart struct {
	client.WithStartWorkflowOperation
	start conversation.Start
	reuse enumspb.WorkflowIdReusePolicy
}

// NewWithStartWorkflowOperation implements client.Client.
func (c *connection) NewWithStartWorkflowOperation(
	o client.StartWorkflowOptions, _ any, args ...any,
) client.WithStartWorkflowOperation {
	start := args[0].(conversation.Start) //nolint:errcheck // the only input of the workflow
	return withStart{start: start, reuse: o.WorkflowIDReusePolicy}
}

// UpdateWithStartWorkflow implements client.Client.
func (c *connection) UpdateWithStartWorkflow(
	ctx context.Context, o client.UpdateWithStartWorkflowOptions,
) (client.WorkflowUpdateHandle, error) {
	operation := o.StartWorkflowOperation.(withStart) //nolint:errcheck // made above
	update := Update{
		ID: o.UpdateOptions.UpdateID, Close: o.UpdateOptions.Args[0].(conversation.Close), //nolint:errcheck // the only input
	}
	value, err := c.request(ctx, fmt.Sprint("update ", update.Close), func(reply func(any, error)) {
		run, err := c.world.temporal.startOrUse(operation.start, operation.reuse)
		if err != nil {
			reply(nil, err)
			return
		}
		run.update(update, reply)
	})
	// As in the SDK, an error of the workflow is the result of the update.
	_, refused := errors.AsType[serviceerror.ServiceError](err)
	if refused || ctx.Err() != nil || errors.Is(err, errKilled) {
		return nil, err
	}
	return handle{value: value, err: err}, nil
}

// handle is the result of an update, and of a run.
type handle struct {
	client.WorkflowUpdateHandle
	value any
	err   error
}

// Get implements client.WorkflowUpdateHandle and client.WorkflowRun.
func (h handle) Get(_ context.Context, into any) error {
	raw, isRaw := into.(*converter.RawValue)
	switch {
	case h.err != nil || into == nil:
	case isRaw:
		payload, err := converter.GetDefaultDataConverter().ToPayload(h.value)
		if err != nil {
			return err
		}
		*raw = converter.NewRawValue(payload)
	default:
		reflect.ValueOf(into).Elem().Set(reflect.ValueOf(h.value))
	}
	return h.err
}

// DescribeWorkflowExecution implements client.Client.
func (c *connection) DescribeWorkflowExecution(
	ctx context.Context, _, runID string,
) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	value, err := c.do(ctx, "describe", func(s *server) (any, error) {
		r := s.find(runID)
		if r == nil {
			return nil, serviceerror.NewNotFound("no such run")
		}
		info := &workflowpb.WorkflowExecutionInfo{
			Execution: &commonpb.WorkflowExecution{RunId: r.id}, Status: r.status(),
		}
		if r.closed != nil {
			info.CloseTime = timestamppb.New(r.closedAt)
		}
		return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: info}, nil
	})
	if err != nil {
		return nil, err
	}
	return value.(*workflowservice.DescribeWorkflowExecutionResponse), nil //nolint:errcheck // made above
}

// workflowRun is the result of a run.
type workflowRun struct {
	client.WorkflowRun
	*connection
	id string
}

// GetWorkflow implements client.Client.
func (c *connection) GetWorkflow(_ context.Context, _, runID string) client.WorkflowRun {
	return workflowRun{connection: c, id: runID}
}

// Get implements client.WorkflowRun.
func (r workflowRun) Get(ctx context.Context, into any) error {
	value, err := r.do(ctx, "result", func(s *server) (any, error) {
		closed := s.find(r.id).closed
		if closed.Canceled != nil {
			failures := temporal.GetDefaultFailureConverter() // its details are payloads then
			return nil, failures.FailureToError(failures.ErrorToFailure(closed.Canceled))
		}
		return *closed.Outcome, nil // only asked for of a completed run
	})
	return handle{value: value, err: err}.Get(ctx, into)
}

func (s *server) find(runID string) *run {
	if runID == "" {
		return s.last()
	}
	for _, r := range s.runs {
		if r.id == runID {
			return r
		}
	}
	return nil
}

func (r *run) status() enumspb.WorkflowExecutionStatus {
	switch c := r.closed; {
	case c == nil:
		return enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	case c.Outcome != nil:
		return enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
	case c.Next != nil:
		return enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW
	case c.Canceled != nil:
		return enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED
	default:
		return enumspb.WORKFLOW_EXECUTION_STATUS_FAILED
	}
}
