// Package temporaltest is a stand-in for Temporal's front end on loopback: it
// knows as much of it as a sender of events uses, so that senders are tested
// over the wire, without workers, and can lose their server.
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
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/grpc"

	"sessionkeeper/conversation"
)

// Run is the last run of a workflow. One without an end is running.
type Run struct {
	WorkflowID string
	// Status counts for a run that has ended. Default Completed.
	Status enumspb.WorkflowExecutionStatus
	Ended  time.Time
	// Outcome is the result of a completed run.
	Outcome *conversation.Outcome

	id string
}

// Call is one call of a sender.
type Call struct {
	// Method is the name of the gRPC method.
	Method     string
	WorkflowID string
	// Name is that of the signal, update or query. A start alone is named like
	// the signal of the same payload.
	Name  string
	Reuse enumspb.WorkflowIdReusePolicy
	// Payload is what the signal or update carries, and Input what a workflow
	// is started with, as JSON.
	Payload, Input json.RawMessage
	// Start is the request of a call that may start the workflow.
	Start Starts
}

// Starts is what requests that may start a workflow have in common.
type Starts interface {
	GetWorkflowType() *commonpb.WorkflowType
	GetTaskQueue() *taskqueuepb.TaskQueue
	GetSearchAttributes() *commonpb.SearchAttributes
	GetMemo() *commonpb.Memo
	GetHeader() *commonpb.Header
	GetUserMetadata() *sdkpb.UserMetadata
	GetPriority() *commonpb.Priority
}

// Server is the stand-in. Its methods are safe for concurrent use.
type Server struct {
	workflowservice.UnimplementedWorkflowServiceServer

	// Addr is where it listens.
	Addr string

	mu     sync.Mutex
	grpc   *grpc.Server
	runs   map[string]*Run
	calls  []Call
	heard  chan struct{}
	fail   func(method string) error
	closed func(workflowID string) (conversation.Outcome, error)
	status conversation.Status
}

// Start returns a server that listens until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{
		Addr: "127.0.0.1:0", runs: map[string]*Run{}, heard: make(chan struct{}),
		fail: func(string) error { return nil },
		closed: func(string) (conversation.Outcome, error) {
			return conversation.Outcome{Why: conversation.Closed}, nil
		},
	}
	s.Resume(t)
	t.Cleanup(s.Stop)
	return s
}

// Resume listens again after a stop, at the same address.
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

// Client returns a client that connects with its first call.
func (s *Server) Client(t testing.TB) client.Client {
	t.Helper()
	c, err := client.NewLazyClient(client.Options{HostPort: s.Addr, Logger: quiet{}})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// quiet keeps the client's log out of the tests.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

// Ran sets the last run of a workflow.
func (s *Server) Ran(run Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	run.id = "run-of-the-test"
	if run.Status == enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED {
		run.Status = enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED
	}
	s.runs[run.WorkflowID] = &run
}

// Fail has calls fail with what fails returns for the method, if not nil.
func (s *Server) Fail(fails func(method string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fails
}

// Answer sets what the update "close" answers.
func (s *Server) Answer(closed func(workflowID string) (conversation.Outcome, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = closed
}

// Stands sets what the query "status" answers.
func (s *Server) Stands(status conversation.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// Calls are those that arrived so far, in order, without the client's greeting.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// Heard is closed when the next call arrives.
func (s *Server) Heard() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard
}

func (s *Server) intercept(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	s.mu.Lock()
	err := s.fail(path.Base(info.FullMethod))
	close(s.heard)
	s.heard = make(chan struct{})
	s.mu.Unlock()
	if err != nil {
		return nil, serviceerror.ToStatus(err).Err()
	}
	response, err := handle(ctx, request)
	if err != nil {
		return nil, serviceerror.ToStatus(err).Err()
	}
	return response, nil
}

// running is the run that takes a signal or update; with a start it begins one,
// if the reuse policy allows it.
func (s *Server) running(workflowID string, start bool, reuse enumspb.WorkflowIdReusePolicy) (*Run, error) {
	last := s.runs[workflowID]
	switch {
	case last != nil && last.Ended.IsZero():
		return last, nil
	case !start:
		return nil, serviceerror.NewNotFound("workflow execution already completed")
	case last != nil && reuse == enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE:
		return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("Workflow execution already finished", "", last.id)
	default:
		begun := &Run{WorkflowID: workflowID, id: fmt.Sprintf("run-%d", len(s.calls)), Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING}
		s.runs[workflowID] = begun
		return begun, nil
	}
}

// GetSystemInfo implements the client's greeting.
func (s *Server) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

// SignalWithStartWorkflowExecution signals the run or begins one.
func (s *Server) SignalWithStartWorkflowExecution(_ context.Context, r *workflowservice.SignalWithStartWorkflowExecutionRequest) (*workflowservice.SignalWithStartWorkflowExecutionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, Call{
		Method: "SignalWithStartWorkflowExecution", WorkflowID: r.GetWorkflowId(), Name: r.GetSignalName(), Reuse: r.GetWorkflowIdReusePolicy(),
		Payload: first(r.GetSignalInput()), Input: first(r.GetInput()), Start: r,
	})
	run, err := s.running(r.GetWorkflowId(), true, r.GetWorkflowIdReusePolicy())
	if err != nil {
		return nil, err
	}
	return &workflowservice.SignalWithStartWorkflowExecutionResponse{RunId: run.id}, nil
}

// StartWorkflowExecution begins a run, unless one runs or the reuse policy
// forbids it.
func (s *Server) StartWorkflowExecution(_ context.Context, r *workflowservice.StartWorkflowExecutionRequest) (*workflowservice.StartWorkflowExecutionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, Call{
		Method: "StartWorkflowExecution", WorkflowID: r.GetWorkflowId(), Name: conversation.SignalStart, Reuse: r.GetWorkflowIdReusePolicy(),
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
func (s *Server) SignalWorkflowExecution(_ context.Context, r *workflowservice.SignalWorkflowExecutionRequest) (*workflowservice.SignalWorkflowExecutionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.GetWorkflowExecution().GetWorkflowId()
	s.calls = append(s.calls, Call{Method: "SignalWorkflowExecution", WorkflowID: id, Name: r.GetSignalName(), Payload: first(r.GetInput())})
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
