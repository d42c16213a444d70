package workflows

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// The histories are recorded from released code, never from the code under
// test: what began yesterday must go on today.
func TestRecordedHistoriesReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/histories/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files, "no recorded history: nothing would be replayed")

	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			recorded, err := os.Open(file)
			require.NoError(t, err)
			defer recorded.Close()
			history, err := client.HistoryFromJSON(recorded, client.HistoryJSONOptions{})
			require.NoError(t, err)
			require.NoError(t, replay(history))
		})
	}
}

// replay runs the workflow on a history, under the id that it was recorded with.
func replay(history *historypb.History) error {
	replayer := worker.NewWorkflowReplayer()
	Register(replayer)
	id := history.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowId()
	return replayer.ReplayWorkflowHistoryWithOptions(discardLogger{}, history, worker.ReplayWorkflowHistoryOptions{
		OriginalExecution: workflow.Execution{ID: id},
	})
}
