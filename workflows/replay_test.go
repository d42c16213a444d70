package workflows

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/conversation"
)

// The histories are recorded with released code, not with the code under test: a
// conversation that began on an older version must continue on this one. See
// docs/changing-the-workflow.md.
func TestRecordedHistoriesReplay(t *testing.T) {
	for name, history := range recordedHistories(t) {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, replay(history, Conversation))
		})
	}
}

// Replay detects an incompatible change in every recorded history: here one more
// activity before the loop.
func TestIncompatibleChangeFailsReplay(t *testing.T) {
	changed := func(ctx workflow.Context, start, carried converter.RawValue) (*conversation.Outcome, error) {
		options := workflow.ActivityOptions{StartToCloseTimeout: time.Second}
		workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), "Inactivate")
		return Conversation(ctx, start, carried)
	}
	for name, history := range recordedHistories(t) {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, replay(history, changed), "TMPRL1100")
		})
	}
}

// The recorded histories carry the version that recorded them.
func TestRecordedHistoriesHaveAVersion(t *testing.T) {
	version, err := os.ReadFile("testdata/histories/VERSION")
	require.NoError(t, err)
	require.Regexp(t, `^(unreleased|v\d+\.\d+\.\d+\S*)\n$`, string(version))
}

func recordedHistories(t *testing.T) map[string]*historypb.History {
	t.Helper()
	files, err := filepath.Glob("testdata/histories/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files, "no recorded histories")
	histories := map[string]*historypb.History{}
	for _, file := range files {
		recorded, err := os.Open(file)
		require.NoError(t, err)
		history, err := client.HistoryFromJSON(recorded, client.HistoryJSONOptions{})
		require.NoError(t, errors.Join(err, recorded.Close()))
		histories[filepath.Base(file)] = history
	}
	return histories
}

// replay runs a workflow on a history, with the workflow id of the history.
func replay(history *historypb.History, conversationWorkflow any) error {
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflowWithOptions(conversationWorkflow, workflow.RegisterOptions{Name: conversation.WorkflowType})
	id := history.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowId()
	return replayer.ReplayWorkflowHistoryWithOptions(discardLogger{}, history, worker.ReplayWorkflowHistoryOptions{
		OriginalExecution: workflow.Execution{ID: id},
	})
}
