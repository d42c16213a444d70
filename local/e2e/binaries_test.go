package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
)

// build builds the programs into directory.
var build = sync.OnceValue(func() error {
	build := exec.CommandContext(context.Background(), "go", "build", "-o", directory, "./worker", "./starter", "./demo")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
})

// program is one of our programs, running.
type program struct {
	t       *testing.T
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     buffer
	errs    buffer
	exited  chan struct{}
	exitErr error
}

// run starts a program with Temporal's address in its environment.
func run(t *testing.T, temporal, name string, args ...string) *program {
	t.Helper()
	return runIn(t, nil, temporal, name, args...)
}

// runIn is run with more variables of the environment.
func runIn(t *testing.T, env []string, temporal, name string, args ...string) *program {
	t.Helper()
	require.NoError(t, build())
	p := &program{t: t, exited: make(chan struct{})}
	p.cmd = exec.CommandContext(t.Context(), filepath.Join(directory, name), args...)
	p.cmd.Env = slices.Concat(os.Environ(), env, []string{"TEMPORAL_ADDRESS=" + temporal, "TEMPORAL_NAMESPACE=" + stack.Namespace})
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errs
	var err error
	p.in, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		p.exitErr = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exited
	})
	return p
}

// exit waits for the program's end and returns its exit status.
func (p *program) exit() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(waitLimit):
		require.FailNow(p.t, "the program does not exit", "%s: %s", p.cmd, p.errs.String())
	}
	if _, exited := errors.AsType[*exec.ExitError](p.exitErr); !exited {
		require.NoError(p.t, p.exitErr)
	}
	return p.cmd.ProcessState.ExitCode()
}

// waitForStderr waits until the program has written a text to standard error.
func (p *program) waitForStderr(text string) {
	p.t.Helper()
	until(p.t, "it prints "+text, func() bool { return strings.Contains(p.errs.String(), text) })
}

// succeed runs a program to its end and returns what it prints.
func succeed(t *testing.T, temporal, name string, args ...string) string {
	t.Helper()
	p := run(t, temporal, name, args...)
	require.Zero(t, p.exit(), "%s %v: %s%s", name, args, p.out.String(), p.errs.String())
	return p.out.String()
}

// fail runs a program to its end, which must be exit status 1, and returns what
// it prints to standard error.
func fail(t *testing.T, temporal, name string, args ...string) string {
	t.Helper()
	p := run(t, temporal, name, args...)
	require.Equal(t, 1, p.exit(), "%s %v: %s%s", name, args, p.out.String(), p.errs.String())
	return p.errs.String()
}

// writeConfig writes a configuration file for the stack's sandbox.
func writeConfig(t *testing.T, s *stack.Stack) (path string) {
	t.Helper()
	org := s.Config.Orgs[0]
	jwt := org.JWTBearer
	text := fmt.Sprintf(`orgs:
  - orgId: %s
    apiBaseUrl: %s
    jwtBearer:
      consumerKey: %s
      username: %s
      audience: %s
      tokenUrl: %s
      key: {file: %s}
`, org.OrgID, org.APIBaseURL, jwt.ConsumerKey, jwt.Username, jwt.Audience, jwt.TokenURL, jwt.Key.File)
	path = filepath.Join(t.TempDir(), "worker.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestWorkerBinary(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{NoWorker: true})
	config := writeConfig(t, s)
	noServer := "127.0.0.1:1"

	require.Contains(t, succeed(t, noServer, "worker", "-config", config, "-check-config"), "is valid")
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	invalid := "orgs:\n  - orgId: x\n    apiBaseUrl: http://example.com\n    typo: 1\n"
	require.NoError(t, os.WriteFile(bad, []byte(invalid), 0o600))
	problems := fail(t, noServer, "worker", "-config", bad, "-check-config")
	require.Contains(t, problems, "line 2: ")
	require.Contains(t, problems, "line 3: ")
	require.Contains(t, problems, "line 4: unknown field typo")
	require.Contains(t, fail(t, noServer, "worker", "-config", "no-such.yaml"), "no-such.yaml")

	k := newTalk(t, s)
	k.fault(simulator.Fault{Times: 1, Latency: simulator.Duration(time.Second)})
	k.start(conversation.Policy{})
	k.hangUp()
	w := run(t, s.TemporalAddress, "worker", "-config", config, "-listen", "127.0.0.1:0")
	k.untilCalls(func(calls []simulator.Entry) bool { return len(calls) == 1 })
	require.NoError(t, w.cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, w.exit(), w.errs.String())
	require.True(t, k.calls()[0].Success, "it finished the call under way")
	require.Contains(t, w.errs.String(), "Worker stopped")
	for line := range strings.Lines(w.errs.String() + w.out.String()) {
		require.True(t, json.Valid([]byte(line)), line)
	}

	startWorker(t, s)
	require.Equal(t, 1, k.ended().Attempts)
}

// While Temporal is unavailable the worker waits, and can be stopped.
func TestWorkerBinaryWaitsForTemporal(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{NoWorker: true})
	w := run(t, freeAddress(t), "worker", "-config", writeConfig(t, s), "-listen", "127.0.0.1:0")
	w.waitForStderr("Waiting for Temporal")
	require.NoError(t, w.cmd.Process.Signal(syscall.SIGINT))
	require.Zero(t, w.exit(), w.errs.String())
}

func TestStarterBinary(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	key := k.id.WorkflowID()
	starter := func(args ...string) string {
		t.Helper()
		return succeed(t, k.s.TemporalAddress, "starter", args...)
	}
	failed := func(args ...string) string {
		t.Helper()
		return fail(t, k.s.TemporalAddress, "starter", args...)
	}
	require.Contains(t, failed("message", key), "conversation "+key+" does not run")
	require.Contains(t, failed("start", "-end-user", k.id.EndUserClientID, key), "channelAddressIdentifier is missing")
	require.Contains(t, failed("status", key), key)
	require.Contains(t, failed("status", "nonsense"), `want "<orgId>:<conversationIdentifier>"`)

	start := []string{
		"start", "-authorization-context", k.id.AuthorizationContext, "-channel-address", k.id.ChannelAddressIdentifier,
		"-end-user", k.id.EndUserClientID, "-session", k.id.SessionID, "-inactivate-after", "20m", "-end-after", "0", key,
	}
	for range 2 {
		require.Equal(t, "start "+key+": sent\n", starter(start...))
	}
	require.Equal(t, "message "+key+": sent\n", starter("message", key))
	text := starter("status", key)
	require.Contains(t, text, "Active")
	require.Regexp(t, `Inactivate at .* \(in (20m0s|1\dm\d+s)\)`, text)
	require.NotContains(t, text, k.id.EndUserClientID)
	var status conversation.Status
	require.NoError(t, json.Unmarshal([]byte(starter("status", "-json", key)), &status))
	require.Equal(t, k.status(), status)

	fault := k.answers(0, simulator.Answer{ErrorReason: "ORG_NOT_FOUND"})
	problem := failed("close", "-by", "EndUser", "-wait", key)
	require.Contains(t, problem, "ORG_NOT_FOUND")
	require.Contains(t, problem, "starter retry")
	require.Contains(t, starter("status", key), "blocked by")
	require.True(t, k.s.Sandbox.RemoveFault(fault))
	until(t, "it is listed as Blocked", func() bool {
		return strings.HasPrefix(starter("retry", "-blocked", "-reason", "ORG_NOT_FOUND"), "1 ")
	})
	require.Equal(t, conversation.Closed, k.ended().Why)
	require.Contains(t, failed("retry", key), key)

	var outcome conversation.Outcome
	closeArgs := append([]string{"close", "-by", "EndUser", "-wait"}, start[1:9]...)
	require.NoError(t, json.Unmarshal([]byte(starter(append(closeArgs, key)...)), &outcome))
	require.Equal(t, k.ended(), outcome, "it had ended already")
	require.Contains(t, starter("status", key), "Closed EndUser")
	for _, command := range []string{"start", "message", "close", "status", "retry", "ingest"} {
		require.Contains(t, starter(command, "-help"), "Example", command)
	}
}

// event returns a line of a routing system's log.
func (k *talk) event(kind string, at time.Time) string {
	k.t.Helper()
	line, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": fmt.Sprint(kind, at.UnixNano()), "source": "/e2e", "type": kind,
		"time": at.UTC().Format(time.RFC3339Nano), "data": k.id,
	})
	require.NoError(k.t, err)
	return string(line)
}

// log returns the events of a conversation from start to close, in the past few
// seconds.
func (k *talk) log() []string {
	began := time.Now().Add(-3 * time.Second)
	return []string{
		k.event(cloudevent.TypeStarted, began),
		k.event(cloudevent.TypeMessage, began.Add(time.Second)),
		k.event(cloudevent.TypeClosed, began.Add(2*time.Second)),
	}
}

func writeLog(t *testing.T, lines ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "events.ndjson")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return path
}

// A malformed line is reported and kept, and the other lines are sent. Playing the
// log again changes nothing.
func TestIngestBinary(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	events := k.log()
	malformed := `{"specversion":"1.0","id":"x","source":"/e2e","type":"sessionkeeper.conversation.message",` +
		`"data":{"endUserClientId":"` + k.id.EndUserClientID + `"}}`
	file := writeLog(t, events[0], malformed, events[1], "not json", "", events[2])
	for range 2 {
		rejects := filepath.Join(t.TempDir(), "rejects.ndjson")
		printed := fail(t, k.s.TemporalAddress, "starter", "ingest", "-rejects", rejects, file)
		require.Contains(t, printed, "line 2 rejected: ")
		require.Contains(t, printed, "conversationIdentifier is missing")
		require.Contains(t, printed, "line 4 rejected: ")
		require.Contains(t, printed, "rejected lines: 2")
		require.NotContains(t, printed, k.id.EndUserClientID)
		kept, err := os.ReadFile(rejects)
		require.NoError(t, err)
		require.Equal(t, malformed+"\nnot json\n", string(kept))
		require.Equal(t, conversation.Closed, k.ended().Why)
	}
	require.Equal(t, "End", k.operations())
	require.Len(t, visible(t, k.s.Temporal, "WorkflowId = '"+k.id.WorkflowID()+"'"), 1)
	require.Zero(t, run(t, k.s.TemporalAddress, "starter", "ingest", writeLog(t, events...)).exit())
}

// An interrupted ingest prints the line to continue from, and continuing from there
// is enough.
func TestInterruptedIngestContinues(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	events := k.log()
	p := run(t, k.s.TemporalAddress, "starter", "ingest", "-")
	_, err := io.WriteString(p.in, events[0]+"\n"+events[1]+"\n")
	require.NoError(t, err)
	until(t, "both lines are sent", func() bool {
		status, err := k.Status(t.Context(), k.id)
		return err == nil && !status.LastMessageAt.IsZero()
	})
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGINT))
	require.Equal(t, 1, p.exit())
	_, after, found := strings.Cut(p.errs.String(), "-from ")
	require.True(t, found, p.errs.String())
	from, err := strconv.Atoi(strings.TrimSpace(after))
	require.NoError(t, err)
	require.Contains(t, []int{2, 3}, from, "line 2 may be sent without being acknowledged yet")
	succeed(t, k.s.TemporalAddress, "starter", "ingest", "-from", strconv.Itoa(from), writeLog(t, events...))
	require.Equal(t, conversation.Closed, k.ended().Why)
	require.Equal(t, "End", k.operations())
}

// While Temporal is unavailable ingest waits.
func TestIngestWaitsForTemporal(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	k := newTalk(t, sharedStack(t))
	p := run(t, address, "starter", "ingest", writeLog(t, k.log()...))
	p.waitForStderr("waiting")
	k = k.on(ownStack(t, stack.Options{TemporalPort: number}))
	require.Zero(t, p.exit(), p.errs.String())
	require.Equal(t, conversation.Closed, k.ended().Why)
	require.Equal(t, "End", k.operations())
}

// freeAddress returns an address that no process listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}
