package embedded_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/grpc"

	"sessionkeeper/local/embedded"
)

// sleepADay returns how long it has slept by the workflow's clock.
func sleepADay(ctx workflow.Context) (time.Duration, error) {
	began := workflow.Now(ctx)
	err := workflow.NewTimer(ctx, 24*time.Hour).Get(ctx, nil)
	return workflow.Now(ctx).Sub(began), err
}

func TestSkipTimeFiresADaysTimerAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Options{})
	c := dial(t, s, client.Options{ConnectionOptions: client.ConnectionOptions{
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(embedded.SkipTime())},
	}})
	work(t, c)

	began := time.Now()
	started := execute(t, c, "sleeper", sleepADay)
	signalled, err := c.SignalWithStartWorkflow(t.Context(), "signalled", "name", "you",
		client.StartWorkflowOptions{TaskQueue: taskQueue}, sleepADay)
	require.NoError(t, err)
	for _, run := range []client.WorkflowRun{started, signalled} {
		var slept time.Duration
		require.NoError(t, run.Get(t.Context(), &slept))
		require.GreaterOrEqual(t, slept, 24*time.Hour)
	}
	t.Log("two days passed in", time.Since(began))
}

func TestFastForwardMovesOneWorkflowOnly(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Options{})
	c := dial(t, s, client.Options{})
	work(t, c)
	moved, other := execute(t, c, "moved", sleepADay), execute(t, c, "other", sleepADay)

	require.NoError(t, embedded.FastForward(t.Context(), c, "default", "moved", 23*time.Hour))
	described, err := c.DescribeWorkflowExecution(t.Context(), "moved", moved.GetRunID())
	require.NoError(t, err)
	require.Equal(t, "Running", described.GetWorkflowExecutionInfo().GetStatus().String())

	require.NoError(t, embedded.FastForward(t.Context(), c, "default", "moved", 2*time.Hour))
	var slept time.Duration
	require.NoError(t, moved.Get(t.Context(), &slept))
	require.InDelta(t, 24*time.Hour, slept, float64(30*time.Minute))

	described, err = c.DescribeWorkflowExecution(t.Context(), "other", other.GetRunID())
	require.NoError(t, err)
	require.Equal(t, "Running", described.GetWorkflowExecutionInfo().GetStatus().String())
	require.Error(t, embedded.FastForward(t.Context(), c, "default", "unknown", time.Hour))
}
