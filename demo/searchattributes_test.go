package main

import (
	"context"
	"net"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"sessionkeeper/internal/telemetry"
)

// namespace answers as a Temporal server does that registers search attributes,
// and uses them only after some more queries.
type namespace struct {
	workflowservice.UnimplementedWorkflowServiceServer
	operatorservice.UnimplementedOperatorServiceServer
	registered []string
	refusal    error
	delay      int
}

func (n *namespace) GetSystemInfo(
	context.Context, *workflowservice.GetSystemInfoRequest,
) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{}, nil
}

func (n *namespace) AddSearchAttributes(
	_ context.Context, r *operatorservice.AddSearchAttributesRequest,
) (*operatorservice.AddSearchAttributesResponse, error) {
	if n.refusal != nil {
		return nil, n.refusal
	}
	for name := range r.GetSearchAttributes() {
		if slices.Contains(n.registered, name) {
			return nil, serviceerror.NewAlreadyExists(name)
		}
		n.registered = append(n.registered, name)
	}
	return &operatorservice.AddSearchAttributesResponse{}, nil
}

func (n *namespace) CountWorkflowExecutions(
	context.Context, *workflowservice.CountWorkflowExecutionsRequest,
) (*workflowservice.CountWorkflowExecutionsResponse, error) {
	if len(n.registered) < 3 {
		return nil, serviceerror.NewInvalidArgument("no such search attribute")
	}
	if n.delay > 0 {
		n.delay--
		return nil, serviceerror.NewInvalidArgument("no such search attribute")
	}
	return &workflowservice.CountWorkflowExecutionsResponse{}, nil
}

// register runs registerSearchAttributes against n.
func register(t *testing.T, n *namespace) error {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer(grpc.UnaryInterceptor(
		func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			answer, err := handle(ctx, request)
			return answer, serviceerror.ToStatus(err).Err()
		}))
	workflowservice.RegisterWorkflowServiceServer(server, n)
	operatorservice.RegisterOperatorServiceServer(server, n)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	options := client.Options{
		HostPort: listener.Addr().String(), Namespace: "default", Logger: telemetry.ForTemporal(zap.NewNop()),
	}
	temporal, err := client.NewLazyClient(options)
	require.NoError(t, err)
	t.Cleanup(temporal.Close)
	return registerSearchAttributes(t.Context(), temporal, options)
}

func TestMissingSearchAttributesAreRegistered(t *testing.T) {
	n := &namespace{registered: []string{"OrgId"}, delay: 2}
	require.NoError(t, register(t, n))
	require.ElementsMatch(t, []string{"OrgId", "SessionPhase", "ErrorReason"}, n.registered)
	require.Zero(t, n.delay, "it waited until they could be used")
}

func TestRegisteredSearchAttributesAreLeftAlone(t *testing.T) {
	n := &namespace{
		registered: []string{"OrgId", "SessionPhase", "ErrorReason"}, refusal: serviceerror.NewPermissionDenied("", ""),
	}
	require.NoError(t, register(t, n))
}

func TestRefusedRegistrationNamesTheCommand(t *testing.T) {
	err := register(t, &namespace{refusal: serviceerror.NewPermissionDenied("not allowed", "")})
	require.ErrorContains(t, err, "not allowed")
	require.ErrorContains(t, err, "temporal operator search-attribute create --address 127.0.0.1:")
}
