package service

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"sessionkeeper/conversation"
)

const frontendService = "temporal.api.workflowservice.v1.WorkflowService"

// frontend is a fake Temporal server. It has what a worker needs to start, to stop
// and to run one activity at a time.
type frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer
	operatorservice.UnimplementedOperatorServiceServer
	address    string
	attributes map[string]enumspb.IndexedValueType
	// Errors of ListSearchAttributes and DescribeNamespace.
	listError     error
	describeError error
	tasks         chan *workflowservice.PollActivityTaskQueueResponse
	polls         chan *workflowservice.PollActivityTaskQueueRequest
	failed        chan *workflowservice.RespondActivityTaskFailedRequest
	completed     chan *workflowservice.RespondActivityTaskCompletedRequest
	shutdowns     chan *workflowservice.ShutdownWorkerRequest
	health        *health.Server
}

func newFrontend() *frontend {
	attributes := map[string]enumspb.IndexedValueType{}
	for _, name := range conversation.SearchAttributes() {
		attributes[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	return &frontend{
		attributes: attributes,
		tasks:      make(chan *workflowservice.PollActivityTaskQueueResponse),
		polls:      make(chan *workflowservice.PollActivityTaskQueueRequest, 1),
		failed:     make(chan *workflowservice.RespondActivityTaskFailedRequest),
		completed:  make(chan *workflowservice.RespondActivityTaskCompletedRequest),
		shutdowns:  make(chan *workflowservice.ShutdownWorkerRequest, 1),
		health:     health.NewServer(),
	}
}

// serve listens on this loopback address until the test ends.
func (f *frontend) serve(t *testing.T, address string) {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", address)
	require.NoError(t, err)
	f.address = listener.Addr().String()
	server := grpc.NewServer(grpc.UnaryInterceptor(withErrorDetails))
	workflowservice.RegisterWorkflowServiceServer(server, f)
	operatorservice.RegisterOperatorServiceServer(server, f)
	grpc_health_v1.RegisterHealthServer(server, f.health)
	f.health.SetServingStatus(frontendService, grpc_health_v1.HealthCheckResponse_SERVING)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
}

// withErrorDetails converts errors to gRPC errors as Temporal does.
func withErrorDetails(
	ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
) (any, error) {
	response, err := handle(ctx, request)
	return response, serviceerror.ToStatus(err).Err()
}

func (f *frontend) options() client.Options {
	return client.Options{
		HostPort: f.address, Namespace: "default",
		Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	}
}

func (f *frontend) connect(t *testing.T) client.Client {
	t.Helper()
	temporal, err := connect(t.Context(), f.options(), zap.NewNop())
	require.NoError(t, err)
	t.Cleanup(temporal.Close)
	return temporal
}

func (f *frontend) GetSystemInfo(
	context.Context, *workflowservice.GetSystemInfoRequest,
) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{}, nil
}

func (f *frontend) DescribeNamespace(
	context.Context, *workflowservice.DescribeNamespaceRequest,
) (*workflowservice.DescribeNamespaceResponse, error) {
	return &workflowservice.DescribeNamespaceResponse{}, f.describeError
}

func (f *frontend) ListSearchAttributes(
	context.Context, *operatorservice.ListSearchAttributesRequest,
) (*operatorservice.ListSearchAttributesResponse, error) {
	return &operatorservice.ListSearchAttributesResponse{CustomAttributes: f.attributes}, f.listError
}

func (f *frontend) PollWorkflowTaskQueue(
	ctx context.Context, _ *workflowservice.PollWorkflowTaskQueueRequest,
) (*workflowservice.PollWorkflowTaskQueueResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (f *frontend) PollActivityTaskQueue(
	ctx context.Context, r *workflowservice.PollActivityTaskQueueRequest,
) (*workflowservice.PollActivityTaskQueueResponse, error) {
	select {
	case f.polls <- r:
	default:
	}
	select {
	case task := <-f.tasks:
		return task, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *frontend) RecordActivityTaskHeartbeat(
	context.Context, *workflowservice.RecordActivityTaskHeartbeatRequest,
) (*workflowservice.RecordActivityTaskHeartbeatResponse, error) {
	return &workflowservice.RecordActivityTaskHeartbeatResponse{}, nil
}

func (f *frontend) RespondActivityTaskFailed(
	_ context.Context, r *workflowservice.RespondActivityTaskFailedRequest,
) (*workflowservice.RespondActivityTaskFailedResponse, error) {
	f.failed <- r
	return &workflowservice.RespondActivityTaskFailedResponse{}, nil
}

func (f *frontend) RespondActivityTaskCompleted(
	_ context.Context, r *workflowservice.RespondActivityTaskCompletedRequest,
) (*workflowservice.RespondActivityTaskCompletedResponse, error) {
	f.completed <- r
	return &workflowservice.RespondActivityTaskCompletedResponse{}, nil
}

func (f *frontend) ShutdownWorker(
	_ context.Context, r *workflowservice.ShutdownWorkerRequest,
) (*workflowservice.ShutdownWorkerResponse, error) {
	select {
	case f.shutdowns <- r:
	default:
	}
	return &workflowservice.ShutdownWorkerResponse{}, nil
}
