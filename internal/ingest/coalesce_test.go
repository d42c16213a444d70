package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"sessionkeeper/internal/ingest"
)

// another returns a line of a log: another event than a message.
func another(kind, conversation string, minute int) string {
	return strings.Replace(message(conversation, minute), "conversation.message", "conversation."+kind, 1)
}

// sent returns what was sent for a conversation: signals with the minutes of their times.
func (h *harness) sent(conversation string) (sent []string) {
	for _, call := range h.server.Calls() {
		if call.WorkflowID == "00D000000000001:"+conversation {
			_, at, _ := strings.Cut(string(call.Payload), "T09:")
			sent = append(sent, call.Name+" "+at[:2])
		}
	}
	return slices.Compact(sent)
}

func TestMessagesOfABacklogBecomeOne(t *testing.T) {
	session := func(line string) string {
		return strings.Replace(line, `"orgId"`, `"sessionId":"0Mw000000000002AAA","orgId"`, 1)
	}
	var hundred []string
	for i := range 100 {
		hundred = append(hundred, message("c", (i*37)%60))
	}
	for name, test := range map[string]struct {
		lines []string
		want  []string
	}{
		"a hundred messages, out of order": {hundred, []string{"message 59"}},
		"around a close": {
			[]string{message("c", 1), message("c", 2), another("closed", "c", 3), message("c", 4), message("c", 5)},
			[]string{"message 02", "close 03", "message 05"},
		},
		"around a close, later in time": {
			[]string{message("c", 9), another("closed", "c", 3), message("c", 4)},
			[]string{"message 09", "close 03", "message 04"},
		},
		"around a start": {
			[]string{message("c", 1), another("started", "c", 0), message("c", 2)},
			[]string{"message 01", "start 00", "message 02"},
		},
		"of two sessions": {
			[]string{message("c", 1), message("c", 2), session(message("c", 3)), session(message("c", 4)), message("c", 5)},
			[]string{"message 02", "message 04", "message 05"},
		},
		"of other conversations between": {
			[]string{message("c", 1), message("d", 1), message("c", 2), another("closed", "d", 2), message("c", 3)},
			[]string{"message 03"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			progress := ingest.NewProgress()
			log := strings.NewReader(strings.Join(test.lines, "\n"))
			require.NoError(t, h.run(t.Context(), log, ingest.Options{Coalesce: true, Progress: progress}))
			require.Equal(t, test.want, h.sent("c"))
			require.Equal(t, int64(len(test.lines)), progress.Events(), "every line counts")
		})
	}
}

// A log that goes on does not keep a message back.
func TestHeldMessageIsSentWhileTheLogGoesOn(t *testing.T) {
	h := newHarness(t)
	log, write := io.Pipe()
	done := make(chan error)
	go func() { done <- h.run(t.Context(), log, ingest.Options{Coalesce: true}) }()
	_, err := io.WriteString(write, message("c", 1)+"\n"+message("c", 2)+"\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(h.sent("c")) > 0 }, 30*time.Second, time.Millisecond)
	require.Equal(t, []string{"message 02"}, h.sent("c"))
	require.NoError(t, write.Close())
	require.NoError(t, <-done)
}

// Long lines are not held back without limit.
func TestHeldMessagesAreBounded(t *testing.T) {
	h := newHarness(t)
	padded := strings.Replace(message("c", 1), `"orgId"`, `"padding":"`+strings.Repeat("x", 100<<10)+`","orgId"`, 1)
	log := strings.NewReader(strings.Repeat(padded+"\n", 25))
	require.NoError(t, h.run(t.Context(), log, ingest.Options{Coalesce: true}))
	require.Len(t, h.server.Calls(), 3, "one after each 11 lines, and the rest")
}

func TestPacedMessagesStaySeparate(t *testing.T) {
	h := newHarness(t)
	log := strings.NewReader(message("c", 1) + "\n" + message("c", 2))
	require.NoError(t, h.run(t.Context(), log, ingest.Options{Coalesce: true, Paced: true, Speed: 1e6}))
	require.Len(t, h.server.Calls(), 2)
}

// If the message that is sent is rejected, so is every line that it covers.
func TestCoveredLinesAreRejectedToo(t *testing.T) {
	h := newHarness(t)
	var accepted atomic.Bool
	h.server.Fail(func(method string) error {
		if method == "SignalWithStartWorkflowExecution" && accepted.Swap(true) {
			return serviceerror.NewInvalidArgument("no")
		}
		return nil
	})
	covered := message("c", 2) + "\n" + message("c", 1) + "\n" + message("c", 3) + "\n"
	var rejects bytes.Buffer
	log := strings.NewReader(another("closed", "accepted", 1) + "\n" + covered)
	require.NoError(t, h.run(t.Context(), log, ingest.Options{Coalesce: true, Concurrency: 1, Rejects: &rejects}))
	require.ElementsMatch(t, strings.SplitAfter(covered, "\n"), strings.SplitAfter(rejects.String(), "\n"))
	require.Len(t, h.reports, 3)
}

// Interrupted while messages are held back, and resumed at the line that it names:
// nothing is lost.
func TestInterruptedBacklogIsResumed(t *testing.T) {
	h := newHarness(t)
	ctx, interrupt := context.WithCancel(t.Context())
	var calls atomic.Int64
	h.server.Fail(func(string) error {
		if calls.Add(1) > 5 {
			interrupt()
			return serviceerror.NewUnavailable("away")
		}
		return nil
	})
	var log strings.Builder
	last := map[string]string{}
	for i := range 400 {
		conversation := fmt.Sprint("c", i%20)
		if i%60 == 59 {
			log.WriteString(another("closed", conversation, i%60) + "\n")
			last[conversation] = fmt.Sprintf("close %02d", i%60)
			continue
		}
		log.WriteString(message(conversation, i/20) + "\n")
		last[conversation] = fmt.Sprintf("message %02d", i/20)
	}
	err := h.run(ctx, strings.NewReader(log.String()), ingest.Options{Coalesce: true})
	interrupted, ok := errors.AsType[*ingest.Interrupted](err)
	require.True(t, ok, err)
	h.server.Fail(func(string) error { return nil })
	resumed := ingest.Options{Coalesce: true, From: interrupted.NextLine}
	require.NoError(t, h.run(t.Context(), strings.NewReader(log.String()), resumed))
	for conversation, want := range last {
		sent := h.sent(conversation)
		require.Equal(t, want, sent[len(sent)-1], conversation)
	}
}
