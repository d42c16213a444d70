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

func TestJournalTellsAll(t *testing.T) {
	l := newLab(t)
	s := l.session()
	id := uuid.NewString()
	l.do(http.MethodPost, apiPath, l.headers(m{"RequestId": id}), fields(m{"sessionId": s.ID}))
	l.call(m{"conversationIdentifier": "other"})

	entries := l.Journal()
	require.Len(t, entries, 2)
	require.Equal(t, simulator.Entry{
		Seq: entries[0].Seq, ReceivedAt: l.clock(), AnsweredAt: l.clock(), Method: "POST", Path: apiPath, OrgID: orgA,
		Operation: "End", OperationBy: "System", ConversationIdentifier: "conv-1", SessionID: s.ID, RequestID: id,
		AuthorizationContext: simulator.DemoAuthorizationContext, SessionBefore: "Active", SessionAfter: "Ended",
		Status: 200, Success: true,
	}, entries[0])
	require.Equal(t, entries[0].Seq+1, entries[1].Seq)
	require.Equal(t, "ACTIVE_CONVERSATION_NOT_FOUND", entries[1].ErrorReason)
	require.False(t, entries[1].Success)
}

func TestJournalHoldsNoSecrets(t *testing.T) {
	l := newLab(t, behaving(simulator.Behaviour{FailuresAsCodes: true}))
	l.session()
	assertion := l.assertion(nil)
	l.token = l.granted(bearerForm(assertion))
	l.grantB()
	l.call(nil)
	l.call(m{"operation": "Inactivate"})
	l.call(m{"sessionId": "0Mw000000000000AAA"})
	l.do(http.MethodPost, apiPath, l.headers(m{"OrgId": l.token, "RequestId": l.token}), fields(nil))
	l.do(http.MethodPost, apiPath, l.headers(m{"OrgId": l.token, "Authorization": ""}), fields(nil))
	l.inject(simulator.Fault{Answer: &simulator.Answer{Code: 10105}})
	require.Contains(t, l.call(nil).raw, endUser)

	text, err := json.Marshal(l.Journal())
	require.NoError(t, err)
	for _, secret := range []string{endUser, "1234567", l.token, l.token[len(orgA)+5:], assertion, secretB} {
		require.NotContains(t, string(text), secret)
	}
}

// onWrite is a ResponseWriter that tells when the answer leaves.
type onWrite struct {
	http.ResponseWriter
	tell func()
}

func (w onWrite) Write(p []byte) (int, error) {
	w.tell()
	return w.ResponseWriter.Write(p)
}

func TestJournalIsCompleteWhenTheAnswerArrives(t *testing.T) {
	l := newLab(t)
	asked := 0
	w := onWrite{httptest.NewRecorder(), func() {
		asked++
		require.True(t, l.last().Answered())
	}}
	l.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, apiPath, nil))
	require.Equal(t, 1, asked)
}

func TestJournalIsBounded(t *testing.T) {
	l := newLab(t, func(c *simulator.Config) { c.JournalSize = 3 })
	for range 5 {
		l.call(nil)
	}
	entries := l.Journal()
	require.Len(t, entries, 3)
	require.EqualValues(t, 2, l.Dropped())
	require.Equal(t, entries[0].Seq+2, entries[2].Seq)
	require.True(t, entries[2].Answered())
	l.ClearJournal()
	require.Empty(t, l.Journal())
	require.Zero(t, l.Dropped())
	l.call(nil)
	require.Equal(t, entries[2].Seq+1, l.last().Seq, "numbers go on")
}

func TestWait(t *testing.T) {
	l := newLab(t)
	waited := make(chan error, 1)
	go func() {
		waited <- l.Wait(t.Context(), func(e []simulator.Entry) bool { return len(e) == 2 && e[1].Answered() })
	}()
	l.call(nil)
	l.call(nil)
	require.NoError(t, <-waited)

	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	require.ErrorIs(t, l.Wait(ctx, func([]simulator.Entry) bool { return false }), why)
	require.NoError(t, l.Wait(ctx, func([]simulator.Entry) bool { return true }), "true at once")
}

func TestConcurrentUse(t *testing.T) {
	const callers, calls = 8, 40
	l := newLab(t, func(c *simulator.Config) { c.JournalSize = 100 })
	l.inject(simulator.Fault{Answer: &simulator.Answer{Status: 503}, Share: 0.3, Times: 50})
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range calls {
				s, err := l.CreateSession(orgA, simulator.Session{ConversationIdentifier: "conv-1"})
				if err != nil {
					t.Error(err)
				}
				if _, err := l.try(t.Context(), http.MethodPost, apiPath, l.headers(nil), fields(m{"sessionId": s.ID})); err != nil {
					t.Error(err)
				}
				l.advance(time.Millisecond)
				_ = l.SetStatus(orgA, "conv-1", simulator.StatusWaiting)
				_ = l.SetChannelAddress(orgA, channel, true)
				id, err := l.Inject(simulator.Fault{Latency: 1, Times: 1})
				if err != nil {
					t.Error(err)
				}
				l.Remove(id)
				l.Journal()
			}
		})
	}
	all.Wait()
	require.EqualValues(t, callers*calls-100, l.Dropped())
	entries := l.Journal()
	for i, e := range entries {
		require.Equal(t, entries[0].Seq+uint64(i), e.Seq)
	}
}
