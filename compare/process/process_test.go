package process_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/compare/process"
)

func start(t *testing.T, script string) *process.Process {
	t.Helper()
	p, err := process.Start(exec.CommandContext(t.Context(), "sh", "-c", script), os.Interrupt)
	require.NoError(t, err)
	return p
}

// waitForOutput waits until the output contains a text.
func waitForOutput(t *testing.T, p *process.Process, want string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(p.Output(), want) }, 10*time.Second, time.Millisecond)
}

func isGone(pid int) bool { return syscall.Kill(-pid, 0) == syscall.ESRCH }

func TestStopSendsTheSignalAndWaits(t *testing.T) {
	p := start(t, `trap 'echo thanks; exit 0' INT; echo ready; while :; do sleep 0.01; done`)
	waitForOutput(t, p, "ready")
	require.NoError(t, p.Stop(time.Minute))
	require.NoError(t, p.Err())
	require.Contains(t, p.Output(), "thanks")
	require.NoError(t, p.Stop(time.Minute), "a second call does nothing")
}

func TestStopKillsTheGroupOfAProcessThatIgnoresTheSignal(t *testing.T) {
	p := start(t, `trap '' INT; sleep 1000 & echo ready; wait; sleep 1000`)
	waitForOutput(t, p, "ready")
	require.ErrorContains(t, p.Stop(10*time.Millisecond), "did not end within 10ms")
	require.Eventually(t, func() bool { return isGone(p.PID()) }, 10*time.Second, time.Millisecond)
}

func TestErrContainsTheEndOfTheOutput(t *testing.T) {
	p := start(t, `head -c 100000 /dev/zero | tr '\0' x; echo; echo "no space left" >&2; exit 3`)
	err := p.Err()
	require.ErrorContains(t, err, "exit status 3")
	require.ErrorContains(t, err, "no space left")
	require.Less(t, len(err.Error()), 5_000)
	require.NoError(t, p.Stop(time.Minute))
}

func TestStartOfAMissingProgram(t *testing.T) {
	_, err := process.Start(exec.CommandContext(t.Context(), "/no/such/program"), os.Interrupt)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, (*process.Process)(nil).Stop(0))
}
