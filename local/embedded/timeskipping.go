package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// SkipTime returns a client interceptor. Every workflow that the client starts,
// also by signal-with-start or update-with-start, skips time until it ends:
// whenever it only waits for a timer or a retry, the server moves the workflow's
// clock to that time. Pass it in client.Options.ConnectionOptions.DialOptions by
// grpc.WithChainUnaryInterceptor. After 200 skips the clock runs at normal speed
// again (dynamic configuration "frontend.WorkflowTimeSkippingMaxSkipPerSession").
//
// If a workflow waits for signals while a timer runs, the timer fires before the
// next signal arrives. To decide when time passes, use [FastForward].
func SkipTime() grpc.UnaryClientInterceptor {
	return func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
		invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
	) error {
		switch r := req.(type) {
		case *workflowservice.StartWorkflowExecutionRequest:
			r.TimeSkippingConfig = skipping()
		case *workflowservice.SignalWithStartWorkflowExecutionRequest:
			r.TimeSkippingConfig = skipping()
		case *workflowservice.ExecuteMultiOperationRequest:
			for _, op := range r.GetOperations() {
				if start := op.GetStartWorkflow(); start != nil {
					start.TimeSkippingConfig = skipping()
				}
			}
		}
		return invoke(ctx, method, req, reply, cc, opts...)
	}
}

func skipping() *commonpb.TimeSkippingConfig { return &commonpb.TimeSkippingConfig{Enabled: true} }

// FastForward moves the clock of a running workflow ahead by d. It returns when the
// clock is there, or when the workflow has ended before. Everything that is due
// until then happens in its order, with the workflow's time as if d had passed. A
// running activity stops the clock until it returns. Afterwards the clock runs at
// normal speed.
func FastForward(ctx context.Context, c client.Client, namespace, workflowID string, d time.Duration) error {
	execution := &commonpb.WorkflowExecution{WorkflowId: workflowID}
	id := uuid.NewString()
	config := skipping()
	config.FastForwardConfig = &commonpb.FastForwardConfig{Id: id, Duration: durationpb.New(d)}

	service := c.WorkflowService()
	_, err := service.UpdateWorkflowExecutionOptions(ctx, &workflowservice.UpdateWorkflowExecutionOptionsRequest{
		Namespace:                namespace,
		WorkflowExecution:        execution,
		WorkflowExecutionOptions: &workflowpb.WorkflowExecutionOptions{TimeSkippingConfig: config},
		UpdateMask:               &fieldmaskpb.FieldMask{Paths: []string{"time_skipping_config"}},
	})
	if err != nil {
		return fmt.Errorf("fast-forward workflow %s by %v: %w", workflowID, d, err)
	}
	for {
		poll, err := service.PollWorkflowExecutionTimeSkipping(ctx, &workflowservice.PollWorkflowExecutionTimeSkippingRequest{
			Namespace:         namespace,
			WorkflowExecution: execution,
			FastForwardId:     id,
		})
		if err != nil {
			return fmt.Errorf("fast-forward workflow %s by %v: await: %w", workflowID, d, err)
		}
		switch poll.GetFastForwardPollingResult() {
		case enumspb.FAST_FORWARD_POLLING_RESULT_FAST_FORWARD_COMPLETED:
			return nil
		case enumspb.FAST_FORWARD_POLLING_RESULT_FAST_FORWARD_FAILED:
			failure := fmt.Errorf("fast-forward workflow %s by %v: %s", workflowID, d, poll.GetFailedReason())
			return unlessEnded(ctx, c, workflowID, failure)
		default: // it takes longer than one long poll
		}
	}
}

// unlessEnded returns failure, or nil if the workflow has ended: that is no failure
// of a fast-forward.
func unlessEnded(ctx context.Context, c client.Client, workflowID string, failure error) error {
	described, err := c.DescribeWorkflowExecution(ctx, workflowID, "")
	switch {
	case err != nil:
		return errors.Join(failure, err)
	case described.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING:
		return nil
	}
	return failure
}
