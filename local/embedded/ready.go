package embedded

import (
	"context"
	"errors"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// awaitReady waits until the frontend knows the namespace and the history service
// owns its shards. Then a lookup of an unknown workflow answers "not found"; before
// that it answers that something is unavailable.
func awaitReady(ctx context.Context, frontend, namespace string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	conn, err := grpc.NewClient(frontend, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fail("connect to "+frontend, err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()

	frontendClient := workflowservice.NewWorkflowServiceClient(conn)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := frontendClient.DescribeWorkflowExecution(ctx, &workflowservice.DescribeWorkflowExecutionRequest{
			Namespace: namespace,
			Execution: &commonpb.WorkflowExecution{WorkflowId: "sessionkeeper-none"},
		}, grpc.WaitForReady(true))
		err = serviceerror.FromStatus(status.Convert(err))
		if _, none := errors.AsType[*serviceerror.NotFound](err); none {
			return nil
		}
		select {
		case <-ctx.Done():
			return fail("wait until "+frontend+" answers", errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}
