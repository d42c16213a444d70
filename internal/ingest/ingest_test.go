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

// message is a line of a log: a message in a conversation, at a minute.
func message(conversation string, minute int) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"%[1]s-%[2]d","source":"/r","type":"sessionkeeper.conversation.message",`+
		`"time":"2026-01-15T09:%02[2]d:00Z","data":{"orgId":"00D000000000001","authorizationContext":"Partner1",`+
		`"channelAddressIdentifier":"8f5d","endUserClientId":"+15550100001","conversationIdentifier":%[1]q}}`, conversation, minute)
}

// player plays logs and keeps what was said.
type player struct {
	server *temporaltest.Server
	sender *sender.Sender

	mu   sync.Mutex
	said []string
	// heard gets every report.
	heard chan string
}

func newPlayer(t *testing.T) *player {
	t.Helper()
	server := temporaltest.Start(t)
	return &player{server: server, sender: sender.New(server.Client(t), sender.Options{Window: new(conversation.Duration(0))}), heard: make(chan string, 1000)}
}

func (p *player) report(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, fmt.Sprintf(format, args...))
	p.heard <- p.said[len(p.said)-1]
}

func (p *player) waitFor(t *testing.T, part string) {
	t.Helper()
	for {
		select {
		case said := <-p.heard:
			if strings.Contains(said, part) {
				return
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("never said %q, but %q", part, p.said)
		}
	}
}

func (p *player) run(ctx context.Context, log io.Reader, o ingest.Options) error {
	o.Report = p.report
	return ingest.Run(ctx, log, p.sender, o)
}

// told are the times of the events told, by conversation.
func (p *player) told() map[string][]string {
	times := map[string][]string{}
	for _, call := range p.server.Calls() {
		id := strings.TrimPrefix(call.WorkflowID, "00D000000000001:")
		_, at, _ := strings.Cut(string(call.Payload), "T09:")
		times[id] = append(times[id], at[:2])
	}
	return times
}

func TestRunTellsEveryEventInItsConversationsOrder(t *testing.T) {
	p := newPlayer(t)
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
	require.NoError(t, p.run(t.Context(), strings.NewReader(log.String()), ingest.Options{Concurrency: 4, Progress: progress}))
	require.Equal(t, want, p.told())
	require.Equal(t, int64(600), progress.Events())
	require.Contains(t, progress.String(), "30 conversations, 0 rejected")
	require.Empty(t, p.said)
}

func TestRunKeepsBadLinesAndGoesOn(t *testing.T) {
	p := newPlayer(t)
	long := `{"padding":"` + strings.Repeat("x", 2<<20) + `"}`
	bad := "not json\r\n" + "\x00\x00\n" + long + "\n" + "  {} \n"
	log := message("a", 1) + "\r\n" + bad + "\n" + "\ufeff" + message("b", 2) + "\nthe end"

	var rejects bytes.Buffer
	progress := ingest.NewProgress()
	require.NoError(t, p.run(t.Context(), strings.NewReader(log), ingest.Options{Rejects: &rejects, Progress: progress}))

	require.Equal(t, map[string][]string{"a": {"01"}, "b": {"02"}}, p.told())
	require.Equal(t, short(bad+"the end\n"), short(rejects.String()), "the lines were changed")
	require.Equal(t, int64(5), progress.Rejected())
	require.Len(t, p.said, 5)
	for i, want := range []string{
		"line 2 rejected: not a CloudEvent: invalid character 'o'", "line 3 rejected: not a CloudEvent: invalid character '\\x00'",
		"line 4 rejected: longer than 1048576 bytes", `line 5 rejected: not a CloudEvent: specversion ""`, "line 8 rejected: not a CloudEvent",
	} {
		require.Contains(t, p.said[i], want)
	}
}

// short keeps a failure's output readable: what repeats is counted.
func short(text string) string {
	return regexp.MustCompile(`x{9,}`).ReplaceAllStringFunc(text, func(run string) string { return fmt.Sprintf("<x%d>", len(run)) })
}

func TestALongLineOfBlanksIsNoBlankLine(t *testing.T) {
	p := newPlayer(t)
	progress := ingest.NewProgress()
	log := strings.Repeat(" ", 2<<20) + message("a", 1) + "\n" + message("b", 1)
	require.NoError(t, p.run(t.Context(), strings.NewReader(log), ingest.Options{Progress: progress}))
	require.Equal(t, int64(1), progress.Rejected())
	require.Equal(t, map[string][]string{"b": {"01"}}, p.told())
}

func TestRunFrom(t *testing.T) {
	p := newPlayer(t)
	log := "bad\n" + strings.Repeat("x", 2<<20) + "\n\n" + message("a", 1) + "\n" + message("b", 2)
	progress := ingest.NewProgress()
	require.NoError(t, p.run(t.Context(), strings.NewReader(log), ingest.Options{From: 5, Progress: progress}))
	require.Equal(t, map[string][]string{"b": {"02"}}, p.told())
	require.Zero(t, progress.Rejected())
}

func TestRunStopsWhenARejectedLineCannotBeKept(t *testing.T) {
	p := newPlayer(t)
	full := errors.New("disk full")
	log := message("a", 1) + "\nbad\n" + message("b", 2)
	err := p.run(t.Context(), strings.NewReader(log), ingest.Options{Rejects: failing{full}})
	var stopped *ingest.Interrupted
	require.ErrorAs(t, err, &stopped)
	require.ErrorIs(t, err, full)
	require.LessOrEqual(t, stopped.NextLine, 2)
}

type failing struct{ err error }

func (w failing) Write([]byte) (int, error) { return 0, w.err }

func TestRunWaitsWhileTemporalIsAway(t *testing.T) {
	p := newPlayer(t)
	p.server.Stop()
	done := make(chan error, 1)
	log := message("a", 1) + "\n" + message("b", 2) + "\n" + message("a", 3)
	go func() { done <- p.run(t.Context(), strings.NewReader(log), ingest.Options{}) }()

	p.waitFor(t, "waiting for Temporal since")
	p.server.Resume(t)
	p.waitFor(t, "Temporal answers again")
	require.NoError(t, <-done)
	require.Equal(t, map[string][]string{"a": {"01", "03"}, "b": {"02"}}, p.told())
	require.Len(t, p.said, 2, "one line for both lanes: %q", p.said)
}

func TestInterruptedItSaysFromWhichLineToGoOn(t *testing.T) {
	p := newPlayer(t)
	p.server.Fail(func(method string) error {
		if method == "SignalWithStartWorkflowExecution" {
			return serviceerror.NewUnavailable("away")
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	log := "\nbad\n" + message("a", 1) + "\n" + message("b", 2)
	go func() { done <- p.run(ctx, strings.NewReader(log), ingest.Options{}) }()
	p.waitFor(t, "line 2 rejected")
	p.waitFor(t, "waiting for Temporal since")
	cancel()
	err := <-done
	require.ErrorIs(t, err, context.Canceled)
	require.EqualError(t, err, "interrupted; go on with -from 3")
}

func TestASilentPipeIsLeftWhenTheContextEnds(t *testing.T) {
	p := newPlayer(t)
	pipe, feed := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.run(ctx, pipe, ingest.Options{}) }()
	heard := p.server.Heard()
	_, err := io.WriteString(feed, message("a", 1)+"\n")
	require.NoError(t, err)
	<-heard
	require.Eventually(t, func() bool { return len(p.told()) == 1 }, 10*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

func TestASilentPipeIsLeftWhenTemporalRefusesUs(t *testing.T) {
	p := newPlayer(t)
	p.server.Fail(func(string) error { return serviceerror.NewPermissionDenied("who are you", "") })
	pipe, feed := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- p.run(t.Context(), pipe, ingest.Options{}) }()
	_, err := io.WriteString(feed, message("a", 1)+"\n")
	require.NoError(t, err)
	err = <-done
	require.ErrorContains(t, err, "stopped: line 1: ")
	require.ErrorContains(t, err, "who are you; go on with -from 1")
}

func TestAnEventThatOnlyTemporalRefusesIsRejected(t *testing.T) {
	p := newPlayer(t)
	progress := ingest.NewProgress()
	var rejects bytes.Buffer
	pipe, feed := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- p.run(t.Context(), pipe, ingest.Options{Rejects: &rejects, Progress: progress}) }()
	_, err := io.WriteString(feed, message("a", 1)+"\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return progress.Events() == 1 }, 10*time.Second, time.Millisecond)

	p.server.Fail(func(string) error {
		return serviceerror.NewInvalidArgument("exceeded workflow execution limit for signal events")
	})
	_, err = io.WriteString(feed, message("b", 2)+"\n")
	require.NoError(t, err)
	p.waitFor(t, "line 2 rejected: message 00D000000000001:b: exceeded")
	p.server.Fail(func(string) error { return nil })
	_, err = io.WriteString(feed, message("c", 3)+"\n")
	require.NoError(t, err)
	require.NoError(t, feed.Close())
	require.NoError(t, <-done)
	require.Equal(t, message("b", 2)+"\n", rejects.String())
	require.Equal(t, int64(2), progress.Events())
}

func TestASetUpThatTemporalRefusesIsNoFaultOfTheEvents(t *testing.T) {
	p := newPlayer(t)
	p.server.Fail(func(method string) error {
		if method == "GetSystemInfo" {
			return nil
		}
		return serviceerror.NewInvalidArgument("no mapping defined for search attribute SessionPhase")
	})
	progress := ingest.NewProgress()
	err := p.run(t.Context(), strings.NewReader(message("a", 1)), ingest.Options{Progress: progress})
	require.ErrorContains(t, err, "search attribute SessionPhase; go on with -from 1")
	require.Zero(t, progress.Rejected())
}

func TestPacedEventsHappenNow(t *testing.T) {
	p := newPlayer(t)
	from := time.Now()
	log := message("a", 0) + "\n" + message("b", 1)
	require.NoError(t, p.run(t.Context(), strings.NewReader(log), ingest.Options{Paced: true, Speed: 1000}))
	require.GreaterOrEqual(t, time.Since(from), 60*time.Millisecond)
	for _, call := range p.server.Calls() {
		require.NotContains(t, string(call.Payload), "2026-01-15")
	}
}
