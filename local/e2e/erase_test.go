package e2e_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	_ "modernc.org/sqlite" // the driver

	"sessionkeeper/conversation"
	"sessionkeeper/local/stack"
)

// After conversations were erased, nothing of them is left in the database but what the
// command's help names. Other conversations are not touched.
func TestErase(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "temporal.db")
	s := ownStack(t, stack.Options{DBFile: file})
	ended, twice, running := newTalk(t, s), newTalk(t, s), newTalk(t, s)
	repeated, kept := newTalk(t, s), newTalk(t, s)
	for _, k := range []*talk{ended, twice, kept} {
		k.start(conversation.Policy{})
		k.message()
		k.hangUp()
		require.Equal(t, conversation.Closed, k.ended().Why)
	}
	twice.newSession()
	twice.message()
	twice.hangUp()
	require.Equal(t, conversation.Closed, twice.ended().Why)
	running.start(conversation.Policy{})
	running.untilPhase(conversation.Active)
	repeated.start(conversation.Policy{})
	repeated.start(conversation.Policy{})
	repeated.hangUp()
	require.Equal(t, conversation.Closed, repeated.ended().Why)
	var database string
	until(t, "the database has all of them", func() bool {
		database = vacuumed(t, file)
		return !slices.ContainsFunc([]*talk{ended, twice, running, kept}, func(k *talk) bool {
			return !strings.Contains(database, k.id.EndUserClientID)
		})
	})

	ids := filepath.Join(t.TempDir(), "ids.txt")
	text := ended.id.WorkflowID() + "\n\n" + twice.id.WorkflowID() + "\n" + twice.id.WorkflowID() + "\n" +
		repeated.id.WorkflowID() + "\n"
	require.NoError(t, os.WriteFile(ids, []byte(text), 0o600))
	refused := fail(t, s.TemporalAddress, "starter", "erase", running.id.WorkflowID())
	require.Contains(t, refused, "the conversation runs; see -running")
	require.Equal(t, conversation.Active, running.status().Phase)

	out := succeed(t, s.TemporalAddress, "starter", "erase", "-running", "close", "-file", ids, running.id.WorkflowID())
	require.Contains(t, out, "erase "+ended.id.WorkflowID()+": 1 runs deleted\n")
	require.Contains(t, out, "erase "+twice.id.WorkflowID()+": 2 runs deleted\n")
	require.Contains(t, out, "erase "+running.id.WorkflowID()+": 1 runs deleted\n")
	require.Equal(t, "End", running.operations())
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, kept.describe().GetWorkflowExecutionInfo().GetStatus())
	again := succeed(t, s.TemporalAddress, "starter", "erase", ended.id.WorkflowID())
	require.Contains(t, again, "nothing was stored")

	until(t, "the histories are deleted", func() bool {
		database = vacuumed(t, file)
		return database != "" && !slices.ContainsFunc([]*talk{ended, twice, running}, func(k *talk) bool {
			return strings.Contains(database, k.id.EndUserClientID) || strings.Contains(database, k.id.SessionID)
		})
	})
	require.Contains(t, database, kept.id.EndUserClientID)
	require.Contains(t, database, repeated.id.EndUserClientID,
		"Temporal keeps the input of a refused start; if it does not any more, docs/operations.md may say less")
}

// vacuumed returns the bytes of a database after a vacuum, which overwrites what was
// deleted. It does that on a copy, because the server has locked the file. It returns
// nothing if the copy is not consistent, because the server was writing.
func vacuumed(t *testing.T, file string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy.db")
	for _, suffix := range []string{"", "-wal"} {
		text, err := os.ReadFile(file + suffix)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(copied+suffix, text, 0o600))
	}
	db, err := sql.Open("sqlite", copied)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "VACUUM")
	require.NoError(t, db.Close())
	if err != nil {
		return ""
	}
	return filesOf(t, copied)
}
