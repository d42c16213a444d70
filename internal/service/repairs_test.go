package service

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// batches is a Temporal that knows batch operations only.
type batches struct {
	workflowservice.WorkflowServiceClient
	blocked int64
	err     error

	mu      sync.Mutex
	counted int
	begun   map[string]time.Time
	queries []string
}

func (b *batches) CountWorkflowExecutions(
	context.Context, *workflowservice.CountWorkflowExecutionsRequest, ...grpc.CallOption,
) (*workflowservice.CountWorkflowExecutionsResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counted++
	return &workflowservice.CountWorkflowExecutionsResponse{Count: b.blocked}, b.err
}

func (b *batches) StartBatchOperation(
	_ context.Context, r *workflowservice.StartBatchOperationRequest, _ ...grpc.CallOption,
) (*workflowservice.StartBatchOperationResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, exists := b.begun[r.GetJobId()]; exists {
		return nil, serviceerror.NewAlreadyExists("exists")
	}
	b.begun[r.GetJobId()] = time.Now()
	b.queries = append(b.queries, r.GetVisibilityQuery())
	return &workflowservice.StartBatchOperationResponse{}, nil
}

func (b *batches) DescribeBatchOperation(
	_ context.Context, r *workflowservice.DescribeBatchOperationRequest, _ ...grpc.CallOption,
) (*workflowservice.DescribeBatchOperationResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return &workflowservice.DescribeBatchOperationResponse{StartTime: timestamppb.New(b.begun[r.GetJobId()])}, nil
}

// jobs returns the queries of the jobs that have begun.
func (b *batches) jobs() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.queries)
}

func (b *batches) counts() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counted
}

func playRepairs(t *testing.T, blocked int64, err error, test func(t *testing.T, b *batches, r repairs, logs *observer.ObservedLogs)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.InfoLevel)
		b := &batches{blocked: blocked, err: err, begun: map[string]time.Time{}}
		test(t, b, repairs{b, "default", zap.New(core), repairDelay}, logs)
	})
}

// Workers that see the same change begin one job. A change soon after it has its own.
func TestEachRepairIsOneJob(t *testing.T) {
	playRepairs(t, 5, nil, func(t *testing.T, b *batches, r repairs, _ *observer.ObservedLogs) {
		for range 3 { // three workers, within the time in which they read the configuration
			r.repaired(t.Context(), []string{id(1)})
			time.Sleep(reloadInterval / 2)
		}
		time.Sleep(time.Minute / 3)
		require.Len(t, b.jobs(), 1)
		r.repaired(t.Context(), []string{id(1)})
		time.Sleep(3 * time.Minute)
		require.Len(t, b.jobs(), 2)
	})
}

func TestManyRepairsBeginTogether(t *testing.T) {
	playRepairs(t, 5, nil, func(t *testing.T, b *batches, r repairs, _ *observer.ObservedLogs) {
		r.repaired(t.Context(), []string{id(1), id(2), id(3), id(4)})
		time.Sleep(repairDelay + time.Second)
		require.Len(t, b.jobs(), 4)
	})
}

// A worker that starts retries those whose org it has, and asks once if there are none.
func TestRepairsAtTheStart(t *testing.T) {
	playRepairs(t, 5, nil, func(t *testing.T, b *batches, r repairs, _ *observer.ObservedLogs) {
		r.added(t.Context(), []string{id(1)})
		time.Sleep(time.Minute)
		require.Len(t, b.jobs(), 1)
		require.True(t, strings.HasSuffix(b.jobs()[0], "OrgId = '"+id(1)+"' AND ErrorReason = 'ORG_NOT_CONFIGURED'"), b.jobs())
	})
	playRepairs(t, 0, nil, func(t *testing.T, b *batches, r repairs, _ *observer.ObservedLogs) {
		r.added(t.Context(), []string{id(1), id(2)})
		time.Sleep(time.Minute)
		require.Equal(t, 1, b.counts())
	})
}

// What waiting does not help is said once, and so is what may pass.
func TestRepairsThatFail(t *testing.T) {
	playRepairs(t, 5, serviceerror.NewPermissionDenied("no", ""), func(t *testing.T, b *batches, r repairs, logs *observer.ObservedLogs) {
		r.repaired(t.Context(), []string{id(1)})
		time.Sleep(time.Hour)
		require.Equal(t, 1, b.counts())
		require.Equal(t, 1, logs.Len())
		require.Contains(t, logs.All()[0].Message, `use "starter retry -blocked"`)
	})
	playRepairs(t, 5, serviceerror.NewUnavailable("away"), func(t *testing.T, b *batches, r repairs, logs *observer.ObservedLogs) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r.repaired(ctx, []string{id(1)})
		time.Sleep(time.Hour)
		require.Greater(t, b.counts(), 10)
		require.Equal(t, 1, logs.FilterMessage("Blocked conversations cannot be retried yet").Len())
		require.Equal(t, 1, logs.Len())
	})
}
