// Package temporaltest is a fake Temporal server on a loopback address. It has the
// methods that a sender uses. So a sender can be tested over gRPC without
// a worker, and the server can be stopped during a test.
package temporaltest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/grpc"

	"sessionkeeper/conversation"
)

// Run is the last run of a workflow.
type Run struct {
	WorkflowID string
	// Status is the status of a run that has ended. Default Completed.
	Status enumspb.WorkflowExecutionStatus
	// Ended is zero while the workflow runs.
	Ended time.Time
	// Outcome is the result of a completed run, and the details of a cancelled one.
	Outcome *conversation.Outcome
	// Codec encodes the outcome. Nil leaves it readable.
	Codec converter.PayloadCodec
	// Failure is why a run failed.
	Failure *failurepb.Failure
	// Pending are the activities of a run that has not ended.
	Pending []*workflowpb.PendingActivityInfo
	// SearchAttributes are those of the run.
	SearchAttributes *commonpb.SearchAttributes

	id string
}

// Call is one request of a sender.
type Call struct {
	// Method is the name of the gRPC method.
	Method     string
	WorkflowID string
	// Name is the name of the signal, update or query. For StartWorkflowExecution
	// it is [conversation.SignalStart].
	Name  string
	Reuse enumspb.WorkflowIdReusePolicy
	// Payload is the payload of the signal or update, and Input the input of the
	// workflow, both as JSON.
	Payload, Input json.RawMessage
	// Start is the request, if it may start a workflow.
	Start StartRequest
}

// StartRequest has the common methods of the requests that may start a workflow.
type StartRequest interface {
	GetWorkflowType() *commonpb.WorkflowType
	GetTaskQueue() *taskqueuepb.TaskQueue
	GetSearchAttributes() *commonpb.SearchAttributes
	GetMemo() *commonpb.Memo
	GetHeader() *commonpb.Header
	GetUserMetadata() *sdkpb.UserMetadata
	GetPriority() *commonpb.Priority
}

// Server is the fake server. Its methods are safe for concurrent use.
type Server struct {
	workflowservice.UnimplementedWorkflowServiceServer

	// Addr is the address on which it listens.
	Addr string

	mu       sync.Mutex
	grpc     *grpc.Server
	runs     map[string]*Run
	calls    []Call
	nextCall chan struct{}
	fail     func(method string) error
	// failing: fail is called by one request at a time. It may call the server.
	failing     sync.Mutex
	closeResult func(workflowID string) (conversation.Outcome, error)
	status      conversation.Status
	batch       *workflowservice.DescribeBatchOperationResponse
}

// Start returns a server that listens until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{
		Addr: "127.0.0.1:0", runs: map[string]*Run{}, nextCall: make(chan struct{}),
		fail: func(string) error { return nil },
		closeResult: func(string) (conversation.Outcome, error) {
			return conversation.Outcome{Why: conversation.Closed}, nil
		},
	}
	s.Resume(t)
	t.Cleanup(s.Stop)
	return s
}

// Resume listens again after [Server.Stop], on the same address.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", s.Addr)
	require.NoError(t, err)
	server := grpc.NewServer(grpc.UnaryInterceptor(s.intercept))
	workflowservice.RegisterWorkflowServiceServer(server, s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Addr, s.grpc = listener.Addr().String(), server
	go func() { _ = server.Serve(listener) }()
}

// Stop makes the server unreachable.
func (s *Server) Stop() {
	s.mu.Lock()
	server := s.grpc
	s.mu.Unlock()
	server.Stop()
}

// Client returns a client that connects with its first request.
func (s *Server) Client(t testing.TB) client.Client {
	t.Helper()
	c, err := client.NewLazyClient(client.Options{HostPort: s.Addr, Logger: discard{}})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// discard is a logger without output.
type discard struct{}

func (discard) Debug(string, ...any) {}
func (discard) Info(string, ...any)  {}
func (discard) Warn(string, ...any)  {}
func (discard) Error(string, ...any) {}

// SetLastRun sets the last run of a workflow.
func (s *Server) SetLastRun(run Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	run.id = "run-of-the-test"
	if run.Status == enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED {
		run.Status = enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
	}
	s.runs[run.WorkflowID] = &run
}

// Fail sets a function that is called with the method of each request. If it returns
// an error, the request fails with it.
func (s *Server) Fail(errorOf func(method string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = errorOf
}

// SetCloseResult sets the result of the update "close".
func (s *Server) SetCloseResult(result func(workflowID string) (conversation.Outcome, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeResult = result
}

// SetStatus sets the answer to the query "status".
func (s *Server) SetStatus(status conversation.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// Calls returns the requests so far, in order, without GetSystemInfo.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// NextCall returns a channel that is closed when the next request arrives.
func (s *Server) NextCall() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nextCall
}

func (s *Server) intercept(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
) (any, error) {
	s.mu.Lock()
	fail := s.fail
	close(s.nextCall)
	s.nextCall = make(chan struct{})
	s.mu.Unlock()
	s.failing.Lock()
	err := fail(path.Base(info.FullMethod))
	s.failing.Unlock()
	if err != nil {
		return nil, serviceerror.ToStatus(err).Err()
	}
	response, err := handle(ctx, request)
	if err != nil {
		return nil, serviceerror.ToStatus(err).Err()
	}
	return response, nil
}

// running returns the run that is running. If none is and start is true, it starts a
// run, unless the reuse policy forbids it.
func (s *Server) running(workflowID string, start bool, reuse enumspb.WorkflowIdReusePolicy) (*Run, error) {
	last := s.runs[workflowID]
	switch {
	case last != nil && last.Ended.IsZero():
		return last, nil
	case !start:
		return nil, serviceerror.NewNotFound("workflow execution already completed")
	case last != nil && reuse == enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		reuse == enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY && last != nil && last.completed():
		return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("Workflow execution already finished", "", last.id)
	default:
		run := &Run{
			WorkflowID: workflowID, id: fmt.Sprintf("run-%d", len(s.calls)),
			Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
		}
		s.runs[workflowID] = run
		return run, nil
	}
}

func (r *Run) completed() bool {
	return r.Status == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED ||
		r.Status == enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED
}

// GetSystemInfo answers the request that a client sends when it connects.
func (s *Server) GetSystemInfo(
	context.Context, *workflowservice.GetSystemInfoRequest,
) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

// SignalWithStartWorkflowExecution signals the run or starts one.
func (s *Server) SignalWithStartWorkflowExecution(
	_ context.Context, r *workflowservice.SignalWithStartWorkflowExecutionRequest,
) (*workflowservice.SignalWithStartWorkflowExecutionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, Call{
		Method: "SignalWithStartWorkflowExecution", WorkflowID: r.GetWorkflowId(), Name: r.GetSignalName(),
		Reuse:   r.GetWorkflowIdReusePolicy(),
		Payload: first(r.GetSignalInput()), Input: first(r.GetInput()), Start: r,
	})
	run, err := s.running(r.GetWorkflowId(), true, r.GetWorkflowIdReusePolicy())
	if err != nil {
		return nil, err
	}
	return &workflowservice.SignalWithStartWorkflowExecutionResponse{RunId: run.id}, nil
}

// StartWorkflowExecution starts a run, unless one is running or the reuse policy
// forbids it.
func (s *Server) StartWorkflowExecution(
	_ context.Context, r *workflowservice.StartWorkflowExecutionRequest,
) (*workflowservice.StartWorkflowExecutionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, Call{
		Method: "StartWorkflowExecution", WorkflowID: r.GetWorkflowId(), Name: conversation.SignalStart,
		Reuse:   r.GetWorkflowIdReusePolicy(),
		Payload: first(r.GetInput()), Input: first(r.GetInput()), Start: r,
	})
	if last := s.runs[r.GetWorkflowId()]; last != nil && last.Ended.IsZero() {
		return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("Workflow execution is already running", "", last.id)
	}
	run, err := s.running(r.GetWorkflowId(), true, r.GetWorkflowIdReusePolicy())
	if err != nil {
		return nil, err
	}
	return &workflowservice.StartWorkflowExecutionResponse{RunId: run.id, Started: true}, nil
}

// SignalWorkflowExecution signals the run.
func (s *Server) SignalWorkflowExecution(
	_ context.Context, r *workflowservice.SignalWorkflowExecutionRequest,
) (*workflowservice.SignalWorkflowExecutionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.GetWorkflowExecution().GetWorkflowId()
	s.calls = append(s.calls, Call{
		Method: "SignalWorkflowExecution", WorkflowID: id, Name: r.GetSignalName(),
		Payload: first(r.GetInput()),
	})
	if _, err := s.running(id, false, 0); err != nil {
		return nil, err
	}
	return &workflowservice.SignalWorkflowExecutionResponse{}, nil
}

func first(payloads *commonpb.Payloads) json.RawMessage {
	if len(payloads.GetPayloads()) == 0 {
		return nil
	}
	return payloads.GetPayloads()[0].GetData()
}

func encode(value any) *commonpb.Payloads {
	payloads, err := converter.GetDefaultDataConverter().ToPayloads(value)
	if err != nil {
		panic(err)
	}
	return payloads
}
