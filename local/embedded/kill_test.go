package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"sessionkeeper/local/embedded"
)

// killFile, set in the environment, makes the test binary the process that
// TestWorkflowSurvivesKill kills.
const killFile = "EMBEDDED_TEST_KILL_FILE"

func TestMain(m *testing.M) {
	if file := os.Getenv(killFile); file != "" {
		if err := serveUntilKilled(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// serveUntilKilled starts a workflow and then serves until the process is killed.
func serveUntilKilled(file string) error {
	ctx := context.Background()
	s, err := embedded.Start(ctx, embedded.Options{DBFile: file, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	c, err := client.DialContext(ctx, client.Options{HostPort: s.FrontendAddress()})
	if err != nil {
		return err
	}
	options := client.StartWorkflowOptions{ID: "survivor", TaskQueue: taskQueue}
	if _, err := c.ExecuteWorkflow(ctx, options, awaitName); err != nil {
		return err
	}
	fmt.Println("started")
	select {}
}

func TestWorkflowSurvivesKill(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "killed.db")
	victim := exec.CommandContext(t.Context(), os.Args[0])
	victim.Env = append(os.Environ(), killFile+"="+file)
	victim.Stderr = os.Stderr
	stdout, err := victim.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, victim.Start())
	_, err = bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)

	_, err = embedded.Start(t.Context(), embedded.Options{DBFile: file})
	require.ErrorIs(t, err, embedded.ErrFileInUse)

	require.NoError(t, victim.Process.Kill())
	require.Error(t, victim.Wait())

	s := start(t, embedded.Options{DBFile: file})
	c := dial(t, s, client.Options{})
	work(t, c)
	greet(t, c, "survivor", "after the kill")
}
