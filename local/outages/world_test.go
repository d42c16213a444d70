package outages_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"sessionkeeper/internal/inprocess"
	"sessionkeeper/local/embedded"
	"sessionkeeper/local/internal/link"
	"sessionkeeper/local/stack"
)

// window is how long the receiver collects messages, and inactivateAfter the idle time of
// a conversation that begins without a started event.
const (
	window          = 2 * time.Second
	inactivateAfter = 4 * time.Second
)

// world is everything that runs for one seed.
type world struct {
	// salesforce is the simulator. It is in the test's own process, so that its truth
	// survives. The sandbox is the process in front of it.
	salesforce *inprocess.Sandbox
	subjects   []*subject
	receiver   string // its URL
	temporal   client.Client
}

// subject is a process that fails, with the links that reach it.
type subject struct {
	*process
	links []*link.Link
	// counts says how often it failed in each way.
	counts map[fault]int
}

// database is where Temporal keeps its state, with its process, if it has one.
type database struct {
	options embedded.Options
	process *process
	link    *link.Link
}

func newWorld(t *testing.T, db database) *world {
	t.Helper()
	programs, err := buildPrograms()
	require.NoError(t, err)
	w := &world{}
	w.salesforce, err = inprocess.StartSandbox(t.Context(), inprocess.SandboxOptions{})
	require.NoError(t, err)
	t.Cleanup(w.salesforce.Close)

	temporal, sandbox, receiver := freePort(t), freePort(t), freePort(t)
	connect := func(port int) *link.Link { return connectLink(t, port) }
	toSandbox, toReceiver := connect(sandbox), connect(receiver)
	fromReceiver := connect(temporal)
	config := w.writeConfig(t, "http://"+toSandbox.Address())
	db.options.FrontendPort = temporal

	server := w.add(t, "Temporal", asRole(role{Temporal: &db.options}))
	for i := range 2 {
		l := connect(temporal)
		worker := w.add(t, fmt.Sprintf("worker %d", i+1), onTemporal(l, filepath.Join(programs, "worker"),
			"-config", config, "-listen", "127.0.0.1:0"))
		worker.links = []*link.Link{l}
		server.links = append(server.links, l)
	}
	w.add(t, "receiver", onTemporal(fromReceiver, filepath.Join(programs, "starter"), "serve", "-no-auth",
		"-listen", loopback(receiver), "-metrics-listen", "127.0.0.1:0",
		"-inactivate-after", inactivateAfter.String(), "-window", window.String(), "-accept-timeout", "5s",
	)).links = []*link.Link{toReceiver, fromReceiver}
	server.links = append(server.links, fromReceiver)
	w.add(t, "sandbox", asRole(role{Listen: loopback(sandbox), Simulator: w.salesforce.URL})).links = []*link.Link{toSandbox}
	if db.process != nil {
		w.subjects = append(w.subjects, &subject{process: db.process, links: []*link.Link{db.link}, counts: map[fault]int{}})
	}
	w.receiver = "http://" + toReceiver.Address()
	w.temporal = connectTo(t, loopback(temporal))
	return w
}

// connectLink returns a link to a port of this machine.
func connectLink(t *testing.T, port int) *link.Link {
	t.Helper()
	l, err := link.New(context.WithoutCancel(t.Context()), loopback(port))
	require.NoError(t, err)
	t.Cleanup(l.Close)
	return l
}

// add starts a process that fails.
func (w *world) add(t *testing.T, name string, command func() *exec.Cmd) *subject {
	t.Helper()
	p := startProcess(t, name, syscall.SIGTERM, command)
	s := &subject{process: p, counts: map[fault]int{}}
	w.subjects = append(w.subjects, s)
	return s
}

func startProcess(t *testing.T, name string, graceful syscall.Signal, command func() *exec.Cmd) *process {
	t.Helper()
	logFile, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	p := &process{name: name, command: command, graceful: graceful, logFile: logFile}
	require.NoError(t, p.start())
	t.Cleanup(func() {
		_ = p.end(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s, the end of its log:\n%s", name, tail(logFile.Name()))
		}
		_ = logFile.Close()
	})
	return p
}

func tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// asRole is this test binary in another role.
func asRole(r role) func() *exec.Cmd {
	return func() *exec.Cmd {
		text, err := json.Marshal(r)
		if err != nil {
			panic(err) // the type can be written
		}
		cmd := exec.CommandContext(context.Background(), os.Args[0])
		cmd.Env = append(os.Environ(), roleEnv+"="+string(text))
		return cmd
	}
}

// onTemporal is one of our programs, which reaches Temporal through a link.
func onTemporal(l *link.Link, program string, args ...string) func() *exec.Cmd {
	return func() *exec.Cmd {
		cmd := exec.CommandContext(context.Background(), program, args...)
		cmd.Env = append(os.Environ(), "TEMPORAL_ADDRESS="+l.Address(), "TEMPORAL_NAMESPACE="+stack.Namespace)
		return cmd
	}
}

// buildPrograms builds the programs once for all seeds.
var buildPrograms = sync.OnceValues(func() (directory string, err error) {
	if directory, err = os.MkdirTemp("", "sessionkeeper-outages-"); err != nil {
		return "", err
	}
	build := exec.CommandContext(context.Background(), "go", "build", "-o", directory, "./worker", "./starter")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return directory, nil
})

// writeConfig writes the configuration of the workers.
func (w *world) writeConfig(t *testing.T, url string) (path string) {
	t.Helper()
	org := w.salesforce.Config.Orgs[0]
	text := fmt.Sprintf(`orgs:
  - orgId: %s
    apiBaseUrl: %s
    callTimeout: 2s
    jwtBearer:
      consumerKey: %s
      username: %s
      audience: %s
      tokenUrl: %s/services/oauth2/token
      key: {file: %s}
`, org.OrgID, url, org.JWTBearer.ConsumerKey, org.JWTBearer.Username, org.JWTBearer.Audience, url, org.JWTBearer.Key.File)
	path = filepath.Join(t.TempDir(), "worker.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// connectTo connects the test itself to Temporal, by no link.
func connectTo(t *testing.T, address string) client.Client {
	t.Helper()
	options := client.Options{HostPort: address, Namespace: stack.Namespace, Logger: log.NewStructuredLogger(quiet)}
	c, err := client.NewLazyClient(options)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := c.CheckHealth(ctx, nil)
		return err == nil
	}, time.Minute, 100*time.Millisecond, "Temporal does not start")
	return c
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePort returns a port that no process listens on.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	return n
}
