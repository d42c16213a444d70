package workflows

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/grpc"

	"sessionkeeper/conversation"
)

const (
	memoryConversations = 2000
	// memoryDesign is the environment variable that makes this process measure one
	// design.
	memoryDesign = "SESSIONKEEPER_MEMORY_DESIGN"
	// memoryProfile is the environment variable with the file for a heap profile.
	memoryProfile = "SESSIONKEEPER_MEMORY_PROFILE"
)

var memoryDesigns = map[string]any{"sessionkeeper": Conversation, "smallest": smallest}

// smallest is about the smallest workflow that could do the job: one timer and two
// signal channels.
func smallest(ctx workflow.Context, start conversation.Start) error {
	messages := workflow.GetSignalChannel(ctx, conversation.SignalMessage)
	closes := workflow.GetSignalChannel(ctx, conversation.SignalClose)
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	timer := workflow.NewTimer(ctx, time.Duration(*start.Policy.InactivateAfter))
	return workflow.Await(ctx, func() bool {
		for messages.ReceiveAsync(nil) {
		}
		return timer.IsReady() || closes.Len() > 0
	})
}

// BenchmarkMemory prints how many bytes an open, cached conversation takes in a
// worker, next to the smallest workflow. Each is measured three times, in a process of
// its own; the benchmark prints the median.
//
// What a conversation takes more than the smallest workflow is about 600 bytes for
// the summary of its timer, 650 for State and runner, 750 for the query and the update,
// and 250 for the details in the Web UI.
func BenchmarkMemory(b *testing.B) {
	if design := os.Getenv(memoryDesign); design != "" {
		heap, stack := measureMemory(b, design)
		fmt.Printf("measured %d %d\n", heap, stack)
		return
	}
	for _, design := range []string{"smallest", "sessionkeeper"} {
		b.Run(design, func(b *testing.B) {
			var heaps, stacks []int
			for range 3 {
				heap, stack := measureInProcess(b, design)
				heaps, stacks = append(heaps, heap), append(stacks, stack)
			}
			slices.Sort(heaps)
			slices.Sort(stacks)
			b.ReportMetric(float64(heaps[1]), "heap-B/conversation")
			b.ReportMetric(float64(stacks[1]), "stack-B/conversation")
			b.ReportMetric(float64(heaps[1]+stacks[1]), "B/conversation")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// measureInProcess runs measureMemory in a process of its own.
func measureInProcess(b *testing.B, design string) (heap, stack int) {
	b.Helper()
	self, err := os.Executable()
	require.NoError(b, err)
	arguments := []string{"-test.run=^$", "-test.bench=^BenchmarkMemory$", "-test.benchtime=1x"}
	process := exec.CommandContext(b.Context(), self, arguments...)
	process.Env = append(os.Environ(), memoryDesign+"="+design)
	output, err := process.CombinedOutput()
	require.NoError(b, err, string(output))
	_, result, found := strings.Cut(string(output), "measured ")
	require.True(b, found, string(output))
	_, err = fmt.Sscan(result, &heap, &stack)
	require.NoError(b, err)
	return heap, stack
}

// measureMemory runs a worker with many open conversations in its cache. It returns
// the heap and stack bytes per conversation.
func measureMemory(b *testing.B, design string) (heap, stack int) {
	b.Helper()
	server := startTaskServer(b)
	connection, err := client.Dial(client.Options{HostPort: server.address, Logger: discardLogger{}})
	require.NoError(b, err)
	defer connection.Close()
	w := worker.New(connection, conversation.DefaultTaskQueue, worker.Options{LocalActivityWorkerOnly: true})
	w.RegisterWorkflowWithOptions(memoryDesigns[design], workflow.RegisterOptions{Name: conversation.WorkflowType})
	require.NoError(b, w.Start())
	defer w.Stop()

	server.open(200) // for memory that is allocated once
	before := readMemory()
	server.open(memoryConversations)
	after := readMemory()
	if file := os.Getenv(memoryProfile); file != "" {
		profile, err := os.Create(file)
		require.NoError(b, err)
		require.NoError(b, pprof.Lookup("heap").WriteTo(profile, 0))
		require.NoError(b, profile.Close())
	}
	return int(after.HeapAlloc-before.HeapAlloc) / memoryConversations,
		int(after.StackInuse-before.StackInuse) / memoryConversations
}

func readMemory() (m runtime.MemStats) {
	// The second collection frees what the finalizers of the first have released.
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}

// taskServer is a stand-in for Temporal that only hands out first workflow tasks. So
// every conversation stays open in the worker's cache.
type taskServer struct {
	workflowservice.UnimplementedWorkflowServiceServer
	address   string
	tasks     chan int
	completed chan string
	opened    int
}

func startTaskServer(b *testing.B) *taskServer {
	b.Helper()
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	s := &taskServer{address: listener.Addr().String(), tasks: make(chan int), completed: make(chan string)}
	server := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(server, s)
	go func() { _ = server.Serve(listener) }()
	b.Cleanup(server.Stop)
	return s
}

// open opens so many conversations, one after the other.
func (s *taskServer) open(count int) {
	for range count {
		s.opened++
		s.tasks <- s.opened
		if failure := <-s.completed; failure != "" {
			panic(failure)
		}
	}
}

func (s *taskServer) GetSystemInfo(
	context.Context, *workflowservice.GetSystemInfoRequest,
) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

func (s *taskServer) DescribeNamespace(
	context.Context, *workflowservice.DescribeNamespaceRequest,
) (*workflowservice.DescribeNamespaceResponse, error) {
	return &workflowservice.DescribeNamespaceResponse{}, nil
}

func (s *taskServer) PollWorkflowTaskQueue(
	ctx context.Context, r *workflowservice.PollWorkflowTaskQueueRequest,
) (*workflowservice.PollWorkflowTaskQueueResponse, error) {
	tasks := s.tasks
	if r.GetTaskQueue().GetKind() == enumspb.TASK_QUEUE_KIND_STICKY {
		tasks = nil
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case n := <-tasks:
		return firstTask(n), nil
	}
}

func (s *taskServer) RespondWorkflowTaskCompleted(
	context.Context, *workflowservice.RespondWorkflowTaskCompletedRequest,
) (*workflowservice.RespondWorkflowTaskCompletedResponse, error) {
	s.completed <- ""
	return &workflowservice.RespondWorkflowTaskCompletedResponse{}, nil
}

func (s *taskServer) RespondWorkflowTaskFailed(
	_ context.Context, r *workflowservice.RespondWorkflowTaskFailedRequest,
) (*workflowservice.RespondWorkflowTaskFailedResponse, error) {
	s.completed <- r.GetFailure().String()
	return &workflowservice.RespondWorkflowTaskFailedResponse{}, nil
}

// firstTask is the first workflow task of a conversation, which begins with a message.
func firstTask(n int) *workflowservice.PollWorkflowTaskQueueResponse {
	start := started(fmt.Sprintf("0Mw%012d", n), 0)
	start.ConversationIdentifier = fmt.Sprintf("conversation-%d", n)
	id := start.WorkflowID()
	h := newHistory(start)
	h.signaled(0, conversation.SignalMessage, conversation.Message{At: at(0)})
	h.taskStarted(0)
	return &workflowservice.PollWorkflowTaskQueueResponse{
		TaskToken:         []byte(id),
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: fmt.Sprintf("run-%d", n)},
		WorkflowType:      &commonpb.WorkflowType{Name: conversation.WorkflowType},
		StartedEventId:    int64(len(h.Events)), Attempt: 1,
		History: &h.History,
	}
}
