package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/ingest"
	"sessionkeeper/internal/temporaltest"
	"sessionkeeper/sender"
)

// message returns a line of a log: a message of a conversation at a minute.
func message(conversation string, minute int) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"%[1]s-%[2]d","source":"/r",`+
		`"type":"sessionkeeper.conversation.message","time":"2026-01-15T09:%02[2]d:00Z",`+
		`"data":{"orgId":"00D000000000001","authorizationContext":"Partner1","channelAddressIdentifier":"8f5d",`+
		`"endUserClientId":"+15550100001","conversationIdentifier":%[1]q}}`, conversation, minute)
}

// harness runs logs against a stand-in for Temporal and records the reports.
type harness struct {
	server *temporaltest.Server
	sender *sender.Sender

	mu      sync.Mutex
	reports []string
	// reported gets every report.
	reported chan string
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	server := temporaltest.Start(t)
	return &harness{
		server:   server,
		sender:   sender.New(server.Client(t), sender.Options{Window: new(conversation.Duration(0))}),
		reported: make(chan string, 1000),
	}
}

func (h *harness) report(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reports = append(h.reports, fmt.Sprintf(format, args...))
	h.reported <- h.reports[len(h.reports)-1]
}

func (h *harness) waitFor(t *testing.T, part string) {
	t.Helper()
	for {
		select {
		case report := <-h.reported:
			if strings.Contains(report, part) {
				return
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("no report of %q, but %q", part, h.reports)
		}
	}
}

func (h *harness) run(ctx context.Context, log io.Reader, o ingest.Options) error {
	o.Report = h.report
	return ingest.Run(ctx, log, h.sender, o)
}

// sentTimes returns the times of the events sent, by conversation.
func (h *harness) sentTimes() map[string][]string {
	times := map[string][]string{}
	for _, call := range h.server.Calls() {
		id := strings.TrimPrefix(call.WorkflowID, "00D000000000001:")
		_, at, _ := strings.Cut(string(call.Payload), "T09:")
		times[id] = append(times[id], at[:2])
	}
	return times
}

func TestRunSendsEventsOfConversationInOrder(t *testing.T) {
	h := newHarness(t)
	var log strings.Builder
	want := map[string][]string{}
	for minute := range 20 {
		for c := range 30 {
			id := fmt.Sprintf("c%d", c)
			want[id] = append(want[id], fmt.Sprintf("%02d", minute))
			log.WriteString(message(id, minute) + "\n")
		}
	}
	progress := ingest.NewProgress()
	options := ingest.Options{Concurrency: 4, Progress: progress}
	require.NoError(t, h.run(t.Context(), strings.NewReader(log.String()), options))
	require.Equal(t, want, h.sentTimes())
	require.Equal(t, int64(600), progress.Events())
	require.Contains(t, progress.String(), "30 conversations, 0 rejected")
	require.Empty(t, h.reports)
}

func TestRunWritesRejectedLinesAndContinues(t *testing.T) {
	h := newHarness(t)
	long := `{"padding":"` + strings.Repeat("x", 2<<20) + `"}`
	bad := "not json\r\n" + "\x00\x00\n" + long + "\n" + "  {} \n"
	log := message("a", 1) + "\r\n" + bad + "\n" + "\ufeff" + message("b", 2) + "\nthe end"

	var rejects bytes.Buffer
	progress := ingest.NewProgress()
	require.NoError(t, h.run(t.Context(), strings.NewReader(log), ingest.Options{Rejects: &rejects, Progress: progress}))

	require.Equal(t, map[string][]string{"a": {"01"}, "b": {"02"}}, h.sentTimes())
	require.Equal(t, short(bad+"the end\n"), short(rejects.String()), "the lines were changed")
	require.Equal(t, int64(5), progress.Rejected())
	require.Len(t, h.reports, 5)
	for i, want := range []string{
		"line 2 rejected: invalid: event is not valid JSON",
		"line 3 rejected: invalid: event is not valid JSON",
		"line 4 rejected: longer than 1048576 bytes",
		`line 5 rejected: invalid: id is missing; source is missing; specversion must be "1.0"; type is missing`,
		"line 8 rejected: invalid: event is not valid JSON",
	} {
		require.Contains(t, h.reports[i], want)
	}
}

// short shortens repeated characters, so that a failure's output is readable.
func short(text string) string {
	return regexp.MustCompile(`x{9,}`).ReplaceAllStringFunc(text, func(repeated string) string {
		return fmt.Sprintf("<x%d>", len(repeated))
	})
}

func TestLongLineOfBlanksIsRejected(t *testing.T) {
	h := newHarness(t)
	progress := ingest.NewProgress()
	log := strings.Repeat(" ", 2<<20) + message("a", 1) + "\n" + message("b", 1)
	require.NoError(t, h.run(t.Context(), strings.NewReader(log), ingest.Options{Progress: progress}))
	require.Equal(t, int64(1), progress.Rejected())
	require.Equal(t, map[string][]string{"b": {"01"}}, h.sentTimes())
}

func TestRunFromSkipsEarlierLines(t *testing.T) {
	h := newHarness(t)
	log := "bad\n" + strings.Repeat("x", 2<<20) + "\n\n" + message("a", 1) + "\n" + message("b", 2)
	progress := ingest.NewProgress()
	require.NoError(t, h.run(t.Context(), strings.NewReader(log), ingest.Options{From: 5, Progress: progress}))
	require.Equal(t, map[string][]string{"b": {"02"}}, h.sentTimes())
	require.Zero(t, progress.Rejected())
}

func TestRunStopsWhenRejectedLineCannotBeWritten(t *testing.T) {
	h := newHarness(t)
	full := errors.New("disk full")
	log := message("a", 1) + "\nbad\n" + message("b", 2)
	err := h.run(t.Context(), strings.NewReader(log), ingest.Options{Rejects: failing{full}})
	var stopped *ingest.Interrupted
	require.ErrorAs(t, err, &stopped)
	require.ErrorIs(t, err, full)
	require.LessOrEqual(t, stopped.NextLine, 2)
}

type failing struct{ err error }

func (w failing) Write([]byte) (int, error) { return 0, w.err }

func TestRunWaitsWhileTemporalIsUnreachable(t *testing.T) {
	h := newHarness(t)
	h.server.Stop()
	done := make(chan error, 1)
	log := message("a", 1) + "\n" + message("b", 2) + "\n" + message("a", 3)
	go func() { done <- h.run(t.Context(), strings.NewReader(log), ingest.Options{}) }()

	h.waitFor(t, "waiting for Temporal since")
	h.server.Resume(t)
	h.waitFor(t, "Temporal answers again")
	require.NoError(t, <-done)
	require.Equal(t, map[string][]string{"a": {"01", "03"}, "b": {"02"}}, h.sentTimes())
	require.Len(t, h.reports, 2, "one line for all partitions: %q", h.reports)
}

func TestInterruptedRunNamesNextLine(t *testing.T) {
	h := newHarness(t)
	h.server.Fail(func(method string) error {
		if method == "SignalWithStartWorkflowExecution" {
			return serviceerror.NewUnavailable("unavailable")
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	log := "\nbad\n" + message("a", 1) + "\n" + message("b", 2)
	go func() { done <- h.run(ctx, strings.NewReader(log), ingest.Options{}) }()
	h.waitFor(t, "line 2 rejected")
	h.waitFor(t, "waiting for Temporal since")
	cancel()
	err := <-done
	require.ErrorIs(t, err, context.Canceled)
	require.EqualError(t, err, "interrupted; continue with -from 3")
}

func TestIdlePipeIsAbandonedWhenContextEnds(t *testing.T) {
	h := newHarness(t)
	pipe, feed := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.run(ctx, pipe, ingest.Options{}) }()
	called := h.server.NextCall()
	_, err := io.WriteString(feed, message("a", 1)+"\n")
	require.NoError(t, err)
	<-called
	require.Eventually(t, func() bool { return len(h.sentTimes()) == 1 }, 10*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

func TestIdlePipeIsAbandonedWhenTemporalRejectsAccess(t *testing.T) {
	h := newHarness(t)
	h.server.Fail(func(string) error { return serviceerror.NewPermissionDenied("access denied", "") })
	pipe, feed := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- h.run(t.Context(), pipe, ingest.Options{}) }()
	_, err := io.WriteString(feed, message("a", 1)+"\n")
	require.NoError(t, err)
	err = <-done
	require.ErrorContains(t, err, "stopped: line 1: ")
	require.ErrorContains(t, err, "access denied; continue with -from 1")
}

// A Temporal server that cannot reach its database does not find the namespace. Before it
// has accepted an event, the name is more likely wrong.
func TestMissingNamespace(t *testing.T) {
	missing := serviceerror.NewNamespaceNotFound("default")
	t.Run("at first stops", func(t *testing.T) {
		h := newHarness(t)
		h.server.Fail(func(string) error { return missing })
		err := h.run(t.Context(), strings.NewReader(message("a", 1)), ingest.Options{})
		require.ErrorContains(t, err, "stopped: line 1: ")
		require.ErrorContains(t, err, missing.Error())
	})
	t.Run("later waits", func(t *testing.T) {
		h := newHarness(t)
		requests := 0
		h.server.Fail(func(method string) error {
			if method != "SignalWithStartWorkflowExecution" {
				return nil
			}
			if requests++; requests == 2 {
				return missing
			}
			return nil
		})
		log := strings.NewReader(message("a", 1) + "\n" + message("b", 2))
		require.NoError(t, h.run(t.Context(), log, ingest.Options{Concurrency: 1}))
		require.Len(t, h.sentTimes(), 2)
	})
}

func TestEventRejectedByTemporalIsWrittenToRejects(t *testing.T) {
	h := newHarness(t)
	progress := ingest.NewProgress()
	var rejects bytes.Buffer
	pipe, feed := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- h.run(t.Context(), pipe, ingest.Options{Rejects: &rejects, Progress: progress}) }()
	_, err := io.WriteString(feed, message("a", 1)+"\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return progress.Events() == 1 }, 10*time.Second, time.Millisecond)

	h.server.Fail(func(string) error {
		return serviceerror.NewInvalidArgument("exceeded workflow execution limit for signal events")
	})
	_, err = io.WriteString(feed, message("b", 2)+"\n")
	require.NoError(t, err)
	h.waitFor(t, "line 2 rejected: message 00D000000000001:b: exceeded")
	h.server.Fail(func(string) error { return nil })
	_, err = io.WriteString(feed, message("c", 3)+"\n")
	require.NoError(t, err)
	require.NoError(t, feed.Close())
	require.NoError(t, <-done)
	require.Equal(t, message("b", 2)+"\n", rejects.String())
	require.Equal(t, int64(2), progress.Events())
}

func TestRejectedSetUpStopsRun(t *testing.T) {
	h := newHarness(t)
	h.server.Fail(func(method string) error {
		if method == "GetSystemInfo" {
			return nil
		}
		return serviceerror.NewInvalidArgument("no mapping defined for search attribute SessionPhase")
	})
	progress := ingest.NewProgress()
	err := h.run(t.Context(), strings.NewReader(message("a", 1)), ingest.Options{Progress: progress})
	require.ErrorContains(t, err, "search attribute SessionPhase; continue with -from 1")
	require.Zero(t, progress.Rejected())
}

func TestPacedEventsGetCurrentTime(t *testing.T) {
	h := newHarness(t)
	from := time.Now()
	log := message("a", 0) + "\n" + message("b", 1)
	require.NoError(t, h.run(t.Context(), strings.NewReader(log), ingest.Options{Paced: true, Speed: 1000}))
	require.GreaterOrEqual(t, time.Since(from), 60*time.Millisecond)
	for _, call := range h.server.Calls() {
		require.NotContains(t, string(call.Payload), "2026-01-15")
	}
}
