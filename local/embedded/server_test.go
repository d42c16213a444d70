package embedded_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/local/embedded"
	"sessionkeeper/local/internal/testlog"
)

const taskQueue = "embedded-test"

var phase = temporal.NewSearchAttributeKeyKeyword("SessionPhase")

func phaseAttribute() map[string]enumspb.IndexedValueType {
	return map[string]enumspb.IndexedValueType{phase.GetName(): enumspb.INDEXED_VALUE_TYPE_KEYWORD}
}

func start(t *testing.T, o embedded.Options) *embedded.Server {
	t.Helper()
	var tail testlog.Tail
	if o.Logger == nil {
		o.Logger = tail.Logger()
	}
	s, err := embedded.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	tail.ShowOnFailure(t)
	return s
}

func dial(t *testing.T, s *embedded.Server, o client.Options) client.Client {
	t.Helper()
	o.HostPort = s.FrontendAddress()
	o.Logger = sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
	c, err := client.DialContext(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func work(t *testing.T, c client.Client) {
	t.Helper()
	w := worker.New(c, taskQueue, worker.Options{})
	w.RegisterWorkflow(awaitName)
	w.RegisterWorkflow(sleepADay)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
}

// awaitName waits for a signal with a name and returns a greeting.
func awaitName(ctx workflow.Context) (string, error) {
	var name string
	workflow.GetSignalChannel(ctx, "name").Receive(ctx, &name)
	return "hello " + name, nil
}

func execute(t *testing.T, c client.Client, id string, wf any) client.WorkflowRun {
	t.Helper()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: taskQueue}, wf)
	require.NoError(t, err)
	return run
}

func greet(t *testing.T, c client.Client, id, name string) {
	t.Helper()
	require.NoError(t, c.SignalWorkflow(t.Context(), id, "", "name", name))
	var greeting string
	require.NoError(t, c.GetWorkflow(t.Context(), id, "").Get(t.Context(), &greeting))
	require.Equal(t, "hello "+name, greeting)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestSearchAttributesCanBeUsedAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Options{SearchAttributes: phaseAttribute()})
	c := dial(t, s, client.Options{})

	_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "attributed", TaskQueue: taskQueue,
		TypedSearchAttributes: temporal.NewSearchAttributes(phase.ValueSet("Active")),
	}, awaitName)
	require.NoError(t, err)

	require.Eventually(t, func() bool {
		query := &workflowservice.CountWorkflowExecutionsRequest{Query: "SessionPhase = 'Active'"}
		found, err := c.CountWorkflow(t.Context(), query)
		return err == nil && found.GetCount() == 1
	}, 2*time.Minute, 20*time.Millisecond)
}

func TestWorkflowSurvivesRestartOnItsFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "odd name?#%.db")

	first := start(t, embedded.Options{DBFile: file})
	c := dial(t, first, client.Options{})
	execute(t, c, "survivor", awaitName)
	first.Stop()

	// The second start also registers an attribute on the existing namespace.
	second := start(t, embedded.Options{DBFile: file, SearchAttributes: phaseAttribute()})
	c = dial(t, second, client.Options{})
	_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "attributed", TaskQueue: taskQueue,
		TypedSearchAttributes: temporal.NewSearchAttributes(phase.ValueSet("Active")),
	}, awaitName)
	require.NoError(t, err)
	work(t, c)
	greet(t, c, "survivor", "again")

	second.Stop()
	third := start(t, embedded.Options{DBFile: file, SearchAttributes: phaseAttribute()})
	c = dial(t, third, client.Options{})
	work(t, c)
	greet(t, c, "attributed", "third")
}

func TestSearchAttributeOfAnotherTypeIsRejected(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "typed.db")
	start(t, embedded.Options{DBFile: file, SearchAttributes: phaseAttribute()}).Stop()

	_, err := embedded.Start(t.Context(), embedded.Options{
		DBFile:           file,
		SearchAttributes: map[string]enumspb.IndexedValueType{phase.GetName(): enumspb.INDEXED_VALUE_TYPE_INT},
	})
	require.ErrorContains(t, err, `"SessionPhase" is registered as Keyword, not Int`)
}

func TestInvalidOptionsAreRejected(t *testing.T) {
	t.Parallel()
	notADatabase := filepath.Join(t.TempDir(), "notes.txt")
	require.NoError(t, os.WriteFile(notADatabase, []byte(strings.Repeat("no database ", 100)), 0o600))
	many := map[string]enumspb.IndexedValueType{}
	for i := range 11 {
		many[fmt.Sprintf("Keyword%d", i)] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}

	reserved := map[string]enumspb.IndexedValueType{"WorkflowId": enumspb.INDEXED_VALUE_TYPE_KEYWORD}

	for name, c := range map[string]struct {
		options embedded.Options
		want    string
	}{
		"file that is no database": {embedded.Options{DBFile: notADatabase}, "notes.txt"},
		"missing folder":           {embedded.Options{DBFile: filepath.Join(t.TempDir(), "none", "x.db")}, "x.db"},
		"short retention":          {embedded.Options{RetentionPeriod: time.Minute}, "at least 1h"},
		"too many attributes":      {embedded.Options{SearchAttributes: many}, "no column left"},
		"reserved attribute": {
			embedded.Options{SearchAttributes: reserved},
			"reserved",
		},
		"port out of range": {embedded.Options{FrontendPort: 70_000}, "port 70000 for the Temporal frontend"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := embedded.Start(t.Context(), c.options)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := portOf(t, taken.Addr().String())

	for purpose, o := range map[string]embedded.Options{
		"Temporal frontend":         {FrontendPort: port},
		"Temporal server's metrics": {MetricsPort: port},
		"Temporal Web UI":           {UI: true, UIPort: port},
	} {
		_, err := embedded.Start(t.Context(), o)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		require.ErrorContains(t, err, fmt.Sprintf("port %d for the %s is taken", port, purpose))
	}
}

func TestPortsAreReleasedByStop(t *testing.T) {
	t.Parallel()
	first := start(t, embedded.Options{UI: true})
	o := embedded.Options{
		UI:           true,
		FrontendPort: portOf(t, first.FrontendAddress()),
		UIPort:       portOf(t, first.UIAddress()),
		MetricsPort:  portOf(t, strings.TrimSuffix(first.MetricsAddress(), "/metrics")),
	}
	first.Stop()
	first.Stop() // a second call does nothing

	second := start(t, o)
	require.Equal(t, first.FrontendAddress(), second.FrontendAddress())
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	return n
}

func TestServersInOneProcessAreIndependent(t *testing.T) {
	t.Parallel()
	one, two := start(t, embedded.Options{}), start(t, embedded.Options{Namespace: "other"})
	c1, c2 := dial(t, one, client.Options{}), dial(t, two, client.Options{Namespace: "other"})
	work(t, c1)
	work(t, c2)
	execute(t, c1, "same-id", awaitName)
	execute(t, c2, "same-id", awaitName)
	greet(t, c1, "same-id", "one")
	one.Stop()
	greet(t, c2, "same-id", "two")
}

func TestWebUIServesPageAndAPI(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Options{UI: true, UICodecEndpoint: "http://127.0.0.1:8090"})
	c := dial(t, s, client.Options{})
	execute(t, c, "seen", awaitName)

	status, page := get(t, s.UIAddress()+"/namespaces/default/workflows")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "<html")

	_, settings := get(t, s.UIAddress()+"/api/v1/settings")
	require.Contains(t, settings, `"Endpoint":"http://127.0.0.1:8090"`)

	status, described := get(t, s.UIAddress()+"/api/v1/namespaces/default/workflows/seen")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, described, "awaitName")
}

// The Web UI's buttons are POSTs under the CSRF rules of a browser.
func TestWebUIActsOnWorkflows(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Options{UI: true})
	c := dial(t, s, client.Options{})
	run := execute(t, c, "terminated", awaitName)

	terminate := func(site string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
			s.UIAddress()+"/api/v1/namespaces/default/workflows/terminated/terminate", strings.NewReader(`{"reason":"test"}`))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Sec-Fetch-Site", site)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		return resp.StatusCode
	}
	require.Equal(t, http.StatusForbidden, terminate("cross-site"))
	require.Equal(t, http.StatusOK, terminate("same-origin"))

	var terminated *temporal.TerminatedError
	require.ErrorAs(t, run.Get(t.Context(), nil), &terminated)
}

func TestMetricsCountActions(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Options{})
	c := dial(t, s, client.Options{})
	execute(t, c, "counted", awaitName)

	_, metrics := get(t, s.MetricsAddress())
	require.Contains(t, metrics, "\naction{")
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := embedded.Start(ctx, embedded.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestHealthyServerLogsNoWarnings(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	warnings := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s := start(t, embedded.Options{UI: true, Logger: warnings})
	c := dial(t, s, client.Options{})
	work(t, c)
	execute(t, c, "quiet", awaitName)
	greet(t, c, "quiet", "you")
	s.Stop()
	require.Empty(t, log.String())
}
