package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	querypb "go.temporal.io/api/query/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/demo"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
)

// workflowMetadata is the query that the SDK answers with the current details.
const workflowMetadata = "__temporal_workflow_metadata"

// The demo plays on a fresh database and again on the same file, and nothing of
// it shows a credential or an end user.
func TestDemo(t *testing.T) {
	kept := &secrets{endUsers: exampleEndUsers(t)}
	file := filepath.Join(t.TempDir(), "temporal.db")
	var logs buffer
	for _, run := range []string{"fresh", "again"} {
		s := ownStack(t, stack.Options{DBFile: file, Logger: logger(&logs), Wrap: kept.learn})
		var table bytes.Buffer
		err := demo.Play(t.Context(), demo.Target{Temporal: s.Temporal, TaskQueue: s.Config.TaskQueue, Sandbox: s.Sandbox}, &table)
		t.Logf("%s:\n%s", run, table.String())
		require.NoError(t, err)
		require.Empty(t, kept.leaks(table.String()))
		if run == "fresh" {
			refuseUpdates(t, s, kept)
		}
		requireNothingShows(t, s, kept)
		s.Stop()
	}
	for kind, n := range kept.kinds() {
		t.Logf("%d of kind %s", n, kind)
	}
	require.Len(t, kept.kinds(), 3, "tokens, assertions and their signatures")
	lines := strings.Split(logs.String(), "\n")
	t.Logf("%d log lines", len(lines))
	require.Greater(t, len(lines), 100, "what was not logged was not looked at")
	for _, line := range lines {
		require.Empty(t, kept.leaks(line), line)
	}
}

// refuseUpdates sends updates that are refused: the refusal must not repeat what
// was sent.
func refuseUpdates(t *testing.T, s *stack.Stack, kept *secrets) {
	t.Helper()
	user := "+" + kept.endUsers[0]
	k := newTalk(t, s, func(session *simulator.Session) { session.EndUserClientID = user })
	k.start(conversation.Policy{})
	for _, payload := range []any{
		map[string]any{"by": user}, map[string]any{"sessionId": user}, map[string]any{"by": []string{user}}, user, []string{user},
	} {
		handle, err := s.Temporal.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
			WorkflowID: k.id.WorkflowID(), UpdateName: conversation.UpdateClose, Args: []any{payload},
			WaitForStage: client.WorkflowUpdateStageAccepted,
		})
		if err == nil {
			err = handle.Get(t.Context(), nil)
		}
		require.Error(t, err)
		require.Empty(t, kept.leaks(fmt.Sprintf("%v %+v", err, err)))
	}
	// A signal that cannot be read leaves a remark in the details.
	require.NoError(t, s.Temporal.SignalWorkflow(t.Context(), k.id.WorkflowID(), "", conversation.SignalMessage, map[string]any{"sessionId": user}))
	require.NoError(t, s.Temporal.SignalWorkflow(t.Context(), k.id.WorkflowID(), "", conversation.SignalMessage, map[string]any{"at": []string{user}}))
	k.hangUp()
	require.Equal(t, conversation.Closed, k.ended().Why)
}

// requireNothingShows looks through everything that Temporal shows of every
// run, and the worker's metrics.
func requireNothingShows(t *testing.T, s *stack.Stack, kept *secrets) {
	t.Helper()
	inputs := 0
	look := func(where string) func(path, secret string, allowed bool) {
		return func(path, secret string, allowed bool) {
			if !allowed {
				require.Fail(t, secret+" shows", "%s: %s", where, path)
			}
			inputs++
		}
	}
	runs := visible(t, s.Temporal, "WorkflowType = '"+conversation.WorkflowType+"'")
	require.Greater(t, len(runs), 20)
	for _, run := range runs {
		where := run.GetWorkflowId() + " " + run.GetRunId()
		described, err := s.Temporal.DescribeWorkflowExecution(t.Context(), run.GetWorkflowId(), run.GetRunId())
		require.NoError(t, err)
		kept.leaksOf(t, described, look("description of "+where))
		for _, event := range history(t, s.Temporal, run.GetWorkflowId(), run.GetRunId()) {
			kept.leaksOf(t, event, look("history of "+where))
		}
		for _, query := range []string{workflowMetadata, conversation.QueryStatus} {
			answer := ask(t, s, run, query)
			require.NotEmpty(t, answer.GetQueryResult().GetPayloads())
			kept.leaksOf(t, answer, look("query "+query+" of "+where))
		}
	}
	require.Positive(t, inputs, "the end users are not even in the inputs: nothing was looked for")

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.MetricsURL, http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	metrics, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Contains(t, string(metrics), "sessionkeeper_calls")
	for line := range strings.Lines(string(metrics)) {
		require.Empty(t, kept.leaks(line), line)
	}
}

func ask(t *testing.T, s *stack.Stack, run *commonpb.WorkflowExecution, query string) *workflowservice.QueryWorkflowResponse {
	t.Helper()
	answer, err := s.Temporal.WorkflowService().QueryWorkflow(t.Context(), &workflowservice.QueryWorkflowRequest{
		Namespace: stack.Namespace, Execution: run, Query: &querypb.WorkflowQuery{QueryType: query},
	})
	require.NoError(t, err)
	return answer
}

// buffer keeps what is logged.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// logger logs everything there is to log.
func logger(to io.Writer) *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(to), zap.DebugLevel))
}
