package simulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"sessionkeeper/sandbox/simulator"
)

func TestJournalRecordsRequestAndResponse(t *testing.T) {
	h := newHarness(t)
	s := h.session()
	id := uuid.NewString()
	h.callWith(m{"RequestId": id}, fields(m{"sessionId": s.ID}))
	h.call(m{"conversationIdentifier": "other"})

	entries := h.Journal()
	require.Len(t, entries, 2)
	require.Equal(t, simulator.Entry{
		Seq: entries[0].Seq, ReceivedAt: h.clock(), AnsweredAt: h.clock(),
		Method: "POST", Path: messagingSessionPath, OrgID: orgA, Operation: "End", OperationBy: "System",
		ConversationIdentifier: "conv-1", SessionID: s.ID, RequestID: id,
		AuthorizationContext: simulator.DemoAuthorizationContext, SessionBefore: "Active", SessionAfter: "Ended",
		Status: 200, Success: true,
	}, entries[0])
	require.Equal(t, entries[0].Seq+1, entries[1].Seq)
	require.Equal(t, "ACTIVE_CONVERSATION_NOT_FOUND", entries[1].ErrorReason)
	require.False(t, entries[1].Success)
}

func TestJournalHoldsNoSecrets(t *testing.T) {
	h := newHarness(t, withBehaviour(simulator.Behaviour{FailuresAsCodes: true}))
	h.session()
	assertion := h.assertion(nil)
	h.token = h.newToken(bearerForm(assertion))
	h.newTokenB()
	h.call(nil)
	h.call(m{"operation": "Inactivate"})
	h.call(m{"sessionId": "0Mw000000000000AAA"})
	h.callWith(m{"OrgId": h.token, "RequestId": h.token}, fields(nil))
	h.callWith(m{"OrgId": h.token, "Authorization": ""}, fields(nil))
	h.inject(simulator.Fault{Answer: &simulator.Answer{Code: 10105}})
	require.Contains(t, h.call(nil).raw, endUser)

	text, err := json.Marshal(h.Journal())
	require.NoError(t, err)
	for _, secret := range []string{endUser, "1234567", h.token, h.token[len(orgA)+5:], assertion, secretB} {
		require.NotContains(t, string(text), secret)
	}
}

// onWrite is a ResponseWriter that calls a function before it writes.
type onWrite struct {
	http.ResponseWriter
	before func()
}

func (w onWrite) Write(p []byte) (int, error) {
	w.before()
	return w.ResponseWriter.Write(p)
}

func TestJournalEntryIsCompleteBeforeResponse(t *testing.T) {
	h := newHarness(t)
	writes := 0
	w := onWrite{httptest.NewRecorder(), func() {
		writes++
		require.True(t, h.last().Answered())
	}}
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, messagingSessionPath, nil))
	require.Equal(t, 1, writes)
}

func TestJournalIsBounded(t *testing.T) {
	h := newHarness(t, func(c *simulator.Config) { c.JournalSize = 3 })
	for range 5 {
		h.call(nil)
	}
	entries := h.Journal()
	require.Len(t, entries, 3)
	require.EqualValues(t, 2, h.DroppedEntries())
	require.Equal(t, entries[0].Seq+2, entries[2].Seq)
	require.True(t, entries[2].Answered())
	h.ClearJournal()
	require.Empty(t, h.Journal())
	require.Zero(t, h.DroppedEntries())
	h.call(nil)
	require.Equal(t, entries[2].Seq+1, h.last().Seq, "numbering continues")
}

func TestWait(t *testing.T) {
	h := newHarness(t)
	waited := make(chan error, 1)
	go func() {
		waited <- h.Wait(t.Context(), func(e []simulator.Entry) bool { return len(e) == 2 && e[1].Answered() })
	}()
	h.call(nil)
	h.call(nil)
	require.NoError(t, <-waited)

	cause := errors.New("canceled by the test")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	require.ErrorIs(t, h.Wait(ctx, func([]simulator.Entry) bool { return false }), cause)
	require.NoError(t, h.Wait(ctx, func([]simulator.Entry) bool { return true }), "done at once")
}

func TestConcurrentUse(t *testing.T) {
	const callers, calls = 8, 40
	h := newHarness(t, func(c *simulator.Config) { c.JournalSize = 100 })
	h.inject(simulator.Fault{Answer: &simulator.Answer{Status: 503}, Share: 0.3, Times: 50})
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range calls {
				s, err := h.CreateSession(orgA, simulator.Session{ConversationIdentifier: "conv-1"})
				if err != nil {
					t.Error(err)
				}
				body := fields(m{"sessionId": s.ID})
				if _, err := h.try(t.Context(), http.MethodPost, messagingSessionPath, h.headers(nil), body); err != nil {
					t.Error(err)
				}
				h.advance(time.Millisecond)
				_ = h.SetStatus(orgA, "conv-1", simulator.StatusWaiting)
				_ = h.SetChannelAddress(orgA, channel, true)
				id, err := h.Inject(simulator.Fault{Latency: 1, Times: 1})
				if err != nil {
					t.Error(err)
				}
				h.RemoveFault(id)
				h.Journal()
			}
		})
	}
	all.Wait()
	require.EqualValues(t, callers*calls-100, h.DroppedEntries())
	entries := h.Journal()
	for i, e := range entries {
		require.Equal(t, entries[0].Seq+uint64(i), e.Seq)
	}
}
