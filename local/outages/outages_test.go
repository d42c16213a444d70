package outages_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"golang.org/x/sync/errgroup"

	"sessionkeeper/local/embedded"
	"sessionkeeper/local/postgres"
)

var quiet = slog.New(slog.DiscardHandler)

// restLimit is how long conversations may take to come to rest after the last fault. An
// attempt whose worker was killed is tried again after 45 seconds, and the pause between
// two attempts grows to a minute.
const restLimit = 5 * time.Minute

// Temporal keeps its state in a file.
func TestOutages(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs the machine for itself")
	}
	for n := range *seeds {
		seed := *firstSeed + n
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "temporal.db")
			playSeed(t, seed, database{options: embedded.Options{DBFile: file}})
		})
	}
}

// Temporal keeps its state on PostgreSQL, where a commit waits for the disk. PostgreSQL
// fails, too.
func TestOutagesOnPostgres(t *testing.T) {
	if !*onPostgres {
		t.Skip("only with -outages.postgres")
	}
	for n := range *seeds {
		seed := *firstSeed + n
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			playSeed(t, seed, startPostgres(t))
		})
	}
}

func startPostgres(t *testing.T) database {
	t.Helper()
	directory, err := os.MkdirTemp("", "outages-") //nolint:usetesting // PostgreSQL's user cannot enter t.TempDir()
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	require.NoError(t, os.Chmod(directory, 0o711))
	port := freePort(t)
	server, err := postgres.Create(t.Context(), filepath.Join(directory, "data"), port)
	require.NoError(t, err)
	command := func() *exec.Cmd { return server.Command("fsync=on", "synchronous_commit=on") }
	// SIGINT is the fast shutdown: it does not wait for its clients.
	process := startProcess(t, "PostgreSQL", syscall.SIGINT, command)
	l := connectLink(t, port)
	return database{
		options: embedded.Options{Postgres: &embedded.Postgres{
			Address: l.Address(), User: server.User, Password: server.Password,
		}},
		process: process, link: l,
	}
}

func playSeed(t *testing.T, seed uint64, db database) {
	t.Helper()
	w := newWorld(t, db)
	talks := w.draw(seed)
	began := time.Now()

	failing, stopFailing := context.WithTimeout(t.Context(), *failingFor)
	defer stopFailing()
	playing, stopPlaying := context.WithTimeout(t.Context(), *failingFor+restLimit)
	defer stopPlaying()
	group := new(errgroup.Group)
	group.Go(func() error { return w.fail(failing, seed) })
	for _, k := range talks {
		group.Go(func() error {
			if err := k.play(playing); err != nil {
				return fmt.Errorf("%s: %w", k.id.ConversationIdentifier, err)
			}
			return nil
		})
	}
	err := group.Wait()
	t.Logf("seed %d, %s, %d conversations:\n%s", seed, time.Since(began).Round(time.Second), len(talks), w.table())
	require.NoError(t, err)
	for _, f := range faults {
		require.Positive(t, w.count(f), "no process was %s", f)
	}

	events, calls := map[string]int{}, map[string]int{}
	for _, k := range talks {
		k.untilClosed(t)
		r, err := k.read(t.Context())
		require.NoError(t, err)
		for _, rule := range rules {
			if found := rule.check(k, r); len(found) > 0 {
				t.Errorf("seed %d, %s: %s %q\n%s", seed, k.id.ConversationIdentifier, rule.name, found, k.story(r))
			}
		}
		for _, e := range k.reports {
			events[e.Receipt+", "+r.whereIs(e)]++
		}
		for _, c := range r.calls {
			calls[c.Operation]++
		}
	}
	t.Logf("seed %d, events that were acknowledged: %v", seed, events)
	t.Logf("seed %d, calls that were decided: %v, requests to Salesforce: %d", seed, calls, len(w.salesforce.Journal()))
}

// untilClosed waits until the last run of a conversation has ended, and is listed: the list
// of runs is a moment behind.
func (k *talk) untilClosed(t *testing.T) {
	t.Helper()
	require.Eventuallyf(t, func() bool {
		described, err := k.temporal.DescribeWorkflowExecution(t.Context(), k.id.WorkflowID(), "")
		last := described.GetWorkflowExecutionInfo()
		if err != nil || last.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			return false
		}
		runs, err := k.runs(t.Context())
		return err == nil && slices.ContainsFunc(runs, func(run *workflowpb.WorkflowExecutionInfo) bool {
			return run.GetExecution().GetRunId() == last.GetExecution().GetRunId() && run.GetStatus() == last.GetStatus()
		})
	}, restLimit, 100*time.Millisecond, "%s still runs", k.id.ConversationIdentifier)
}
