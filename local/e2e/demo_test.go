package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
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
	"sessionkeeper/local/embedded"
	"sessionkeeper/local/internal/testlog"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
)

// workflowMetadata is the query that the SDK answers with the current details.
const workflowMetadata = "__temporal_workflow_metadata"

// The demo runs only beside itself, not beside the other tests: some of its
// conversations must not be quiet for eight seconds.
func TestDemo(t *testing.T) {
	t.Run("embedded server", testDemoOnEmbeddedServer)
	t.Run("program", testDemoProgram)
	t.Run("encrypted", testEncryptedDemo)
}

// The demo plays on a new database and, without -short, again on the same file. Nothing
// that it shows has a credential or an end user.
func testDemoOnEmbeddedServer(t *testing.T) {
	t.Parallel()
	kept := &secrets{endUsers: exampleEndUsers(t)}
	file := filepath.Join(t.TempDir(), "temporal.db")
	var logs buffer
	for _, run := range []string{"first play", "second play"} {
		if run == "second play" && testing.Short() {
			break // a play takes more than a minute
		}
		s := ownStack(t, stack.Options{DBFile: file, Logger: logger(&logs), Wrap: kept.recordCredentials})
		var table bytes.Buffer
		target := demo.Target{Temporal: s.Temporal, TaskQueue: s.Config.TaskQueue, Sandbox: s.Sandbox}
		err := demo.Play(t.Context(), target, &table)
		t.Logf("%s:\n%s", run, table.String())
		require.NoError(t, err)
		require.Empty(t, kept.leaks(table.String()))
		if run == "first play" {
			requireUpdatesFail(t, s, kept)
		}
		requireNoSecrets(t, s, kept)
		s.Stop()
		require.NotEmpty(t, kept.endUserIn(filesOf(t, file)), "without encryption, the database has it")
	}
	for kind, n := range kept.kinds() {
		t.Logf("%d of kind %s", n, kind)
	}
	require.Len(t, kept.kinds(), 3, "tokens, assertions and their signatures")
	lines := strings.Split(logs.String(), "\n")
	t.Logf("%d log lines", len(lines))
	require.Greater(t, len(lines), 100, "hardly anything was logged, so hardly anything was checked")
	for _, line := range lines {
		require.Empty(t, kept.leaks(line), line)
	}
}

// With keys, the demo plays as it does without. Then no end user and no key is readable in
// the files of the database, in the logs, in the metrics or in the arguments of a process.
func testEncryptedDemo(t *testing.T) {
	t.Parallel()
	path, keys := keysIn(t)
	kept := &secrets{endUsers: exampleEndUsers(t)}
	file := filepath.Join(t.TempDir(), "temporal.db")
	var logs buffer
	s := ownStack(t, stack.Options{DBFile: file, Keys: keys, Logger: logger(&logs), Wrap: kept.recordCredentials})
	var table bytes.Buffer
	target := demo.Target{Temporal: s.Temporal, TaskQueue: s.Config.TaskQueue, Sandbox: s.Sandbox}
	require.NoError(t, demo.Play(t.Context(), target, &table))
	metrics, arguments := get(t, s.MetricsURL), filesOf(t, "/proc/[0-9]*/cmdline")
	s.Stop()
	database := filesOf(t, file)
	require.Contains(t, database, simulator.DemoOrgID, "the ids of workflows are not encrypted")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	key := regexp.MustCompile(`"value": *"([^"]+)"`).FindSubmatch(text)
	require.NotNil(t, key)
	for where, text := range map[string]string{
		"database": database, "logs": logs.String(), "metrics": metrics, "table": table.String(),
		"arguments of processes": arguments,
	} {
		require.Empty(t, kept.leaks(text), where)
		require.NotContains(t, text, string(key[1]), where)
		require.NotContains(t, text, simulator.DemoChannelAddress, where)
	}
}

// filesOf returns the bytes of the files whose paths begin like this. A process may have
// ended, and its file with it.
func filesOf(t *testing.T, file string) string {
	t.Helper()
	names, err := filepath.Glob(file + "*")
	require.NoError(t, err)
	var all strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
			require.NoError(t, err)
		}
		all.Write(text)
	}
	return all.String()
}

func get(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(text)
}

// The demo runs as a program of its own, on a server that has no search attributes
// yet.
func testDemoProgram(t *testing.T) {
	t.Parallel()
	var tail testlog.Tail
	server, err := embedded.Start(t.Context(), embedded.Options{Namespace: stack.Namespace, Logger: tail.Logger()})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	tail.ShowOnFailure(t)
	table := succeed(t, server.FrontendAddress(), "demo")
	require.Contains(t, table, "\n22 of 22 conversations ended as they must.")
}

// requireUpdatesFail sends updates that must fail with an error that does not
// repeat what was sent.
func requireUpdatesFail(t *testing.T, s *stack.Stack, kept *secrets) {
	t.Helper()
	user := "+" + kept.endUsers[0]
	k := newTalk(t, s, func(session *simulator.Session) { session.EndUserClientID = user })
	k.start(conversation.Policy{})
	for _, payload := range []any{
		map[string]any{"by": user},
		map[string]any{"sessionId": user},
		map[string]any{"by": []string{user}},
		user,
		[]string{user},
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
	// The current details mention a signal that cannot be decoded.
	for _, payload := range []any{map[string]any{"sessionId": user}, map[string]any{"at": []string{user}}} {
		err := s.Temporal.SignalWorkflow(t.Context(), k.id.WorkflowID(), "", conversation.SignalMessage, payload)
		require.NoError(t, err)
	}
	// A message that cannot be read counts as of when it is processed.
	k.status()
	k.hangUp()
	require.Equal(t, conversation.Closed, k.ended().Why)
}

// requireNoSecrets searches everything that Temporal shows of every run, and the
// worker's metrics.
func requireNoSecrets(t *testing.T, s *stack.Stack, kept *secrets) {
	t.Helper()
	inputs := 0
	report := func(where string) func(path, secret string, allowed bool) {
		return func(path, secret string, allowed bool) {
			if !allowed {
				require.Fail(t, secret+" is visible", "%s: %s", where, path)
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
		kept.search(t, described, report("description of "+where))
		for _, event := range history(t, s.Temporal, run.GetWorkflowId(), run.GetRunId()) {
			kept.search(t, event, report("history of "+where))
		}
		for _, query := range []string{workflowMetadata, conversation.QueryStatus} {
			answer := queryRun(t, s, run, query)
			require.NotEmpty(t, answer.GetQueryResult().GetPayloads())
			kept.search(t, answer, report("query "+query+" of "+where))
		}
	}
	require.Positive(t, inputs, "no end user is in the inputs: nothing was searched for")

	metrics := get(t, s.MetricsURL)
	require.Contains(t, metrics, "sessionkeeper_calls")
	for line := range strings.Lines(metrics) {
		require.Empty(t, kept.leaks(line), line)
	}
}

func queryRun(
	t *testing.T, s *stack.Stack, run *commonpb.WorkflowExecution, query string,
) *workflowservice.QueryWorkflowResponse {
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

// logger logs everything.
func logger(to io.Writer) *zap.Logger {
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.AddSync(to), zap.DebugLevel))
}
