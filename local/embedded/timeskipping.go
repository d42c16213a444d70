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

// SkipTime is a client interceptor under which every workflow that is started
// (also by signal-with-start or update-with-start) skips time for its whole
// life: whenever it only waits for a timer or a retry, the server moves its
// clock there. Pass it in client.Options.ConnectionOptions.DialOptions by
// grpc.WithChainUnaryInterceptor. After 200 skips the server lets time pass
// again (dynamic configuration "frontend.WorkflowTimeSkippingMaxSkipPerSession").
//
// A workflow that waits for signals with a timer running is over its timer
// before the next signal comes; to decide when time passes, use [FastForward].
func SkipTime() grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
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

// FastForward moves the clock of a running workflow ahead by d and returns
// when it is there, or when the workflow has ended on the way. Everything
// due before then happens in its order, with the workflow's time as if d had
// passed; a running activity holds the clock until it has returned. The clock
// then goes on at normal speed.
func FastForward(ctx context.Context, c client.Client, namespace, workflowID string, d time.Duration) error {
	execution := &commonpb.WorkflowExecution{WorkflowId: workflowID}
	id := uuid.NewString()
	config := skipping()
	config.FastForwardConfig = &commonpb.FastForwardConfig{Id: id, Duration: durationpb.New(d)}

	_, err := c.WorkflowService().UpdateWorkflowExecutionOptions(ctx, &workflowservice.UpdateWorkflowExecutionOptionsRequest{
		Namespace:                namespace,
		WorkflowExecution:        execution,
		WorkflowExecutionOptions: &workflowpb.WorkflowExecutionOptions{TimeSkippingConfig: config},
		UpdateMask:               &fieldmaskpb.FieldMask{Paths: []string{"time_skipping_config"}},
	})
	if err != nil {
		return fmt.Errorf("fast-forward workflow %s by %v: %w", workflowID, d, err)
	}
	for {
		poll, err := c.WorkflowService().PollWorkflowExecutionTimeSkipping(ctx, &workflowservice.PollWorkflowExecutionTimeSkippingRequest{
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
			return endedOr(ctx, c, workflowID, fmt.Errorf("fast-forward workflow %s by %v: %s", workflowID, d, poll.GetFailedReason()))
		default: // it takes longer than one long poll
		}
	}
}

// endedOr is nil when the workflow has ended, which is no failure of a
// fast-forward, and otherwise failure.
func endedOr(ctx context.Context, c client.Client, workflowID string, failure error) error {
	described, err := c.DescribeWorkflowExecution(ctx, workflowID, "")
	switch {
	case err != nil:
		return errors.Join(failure, err)
	case described.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING:
		return nil
	}
	return failure
}
