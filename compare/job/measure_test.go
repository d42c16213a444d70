package job

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/compare/engine"
	"sessionkeeper/compare/stores"
)

// inMemory is an engine with a timer for each conversation, and with the
// mistakes that a test wants.
type inMemory struct {
	engine.Setup
	mu     sync.Mutex
	timers map[string]*time.Timer
	due    map[string]time.Time

	// early is how much too early it calls, times how often.
	early time.Duration
	times int
	// forget makes it acknowledge messages that it then forgets.
	forget bool
	// fail is the answer to every message after the first.
	fail error
}

func (m *inMemory) engine() engine.Engine {
	return engine.Engine{Key: "in-memory", Name: "in memory", Open: func(_ context.Context, setup engine.Setup) (engine.Session, error) {
		m.Setup, m.timers, m.due = setup, map[string]*time.Timer{}, map[string]time.Time{}
		return m, nil
	}}
}

func (m *inMemory) Begin(_ context.Context, id string, at time.Time) (engine.Conversation, error) {
	m.arm(id, at) //nolint:contextcheck // the call is made long after
	return inMemoryConversation{m, id}, nil
}

func (m *inMemory) arm(id string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if timer := m.timers[id]; timer != nil {
		timer.Stop()
	}
	m.due[id] = at.Add(m.Idle)
	m.timers[id] = time.AfterFunc(time.Until(m.due[id])-m.early, func() {
		for range m.times {
			_ = m.Call(context.Background(), id)
		}
	})
}

func (m *inMemory) Due(_ context.Context, id string) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.due[id], nil
}

func (m *inMemory) Stored(context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(100 * len(m.due)), nil
}

func (m *inMemory) Close(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, timer := range m.timers {
		timer.Stop()
	}
	return nil
}

type inMemoryConversation struct {
	*inMemory
	id string
}

func (c inMemoryConversation) Message(_ context.Context, at time.Time) error {
	if c.fail == nil && !c.forget {
		c.arm(c.id, at) //nolint:contextcheck // the call is made long after
	}
	return c.fail
}

// tiny is a plan for engines that need no time.
func tiny() Plan {
	return Plan{
		Senders: 4, Conversations: []int{10, 20}, For: 50 * time.Millisecond,
		Lateness: LatenessPlan{
			Conversations: 20, Rate: 1000, Idle: 2 * underWay, Stretch: 100 * time.Millisecond, Patience: 300 * time.Millisecond,
		},
	}
}

// measured does the job; this process stands for the stores.
func measured(t *testing.T, m *inMemory, plan Plan) (results []Result) {
	t.Helper()
	servers := stores.Servers{Postgres: stores.Postgres{PID: os.Getpid()}, Redis: stores.Redis{PID: os.Getpid()}}
	require.NoError(t, Measure(t.Context(), m.engine(), servers, plan, func(r Result) { results = append(results, r) }))
	return results
}

func TestMeasure(t *testing.T) {
	results := measured(t, &inMemory{times: 1}, tiny())
	require.Len(t, results, 4, "one after each part")
	last := results[3]
	require.Empty(t, last.Problems)
	require.Equal(t, "in-memory", last.Key)
	require.Len(t, last.Sustained, 2)
	for i, count := range []int{10, 20} {
		run := last.Sustained[i]
		require.Equal(t, count, run.Conversations)
		require.Greater(t, run.Messages, int64(count))
		require.GreaterOrEqual(t, run.Took, 50*time.Millisecond)
		require.Positive(t, run.CPU)
		require.Equal(t, count, run.Checked)
		require.Zero(t, run.Lost)
	}
	require.InDelta(t, 100, *last.Stored, 0)
	require.Nil(t, last.Cost, "only Temporal bills")

	l := *last.Lateness
	require.Equal(t, []int{20, 0, 0, 0}, []int{l.Expected, l.Early, l.Lost, l.Doubled})
	require.GreaterOrEqual(t, l.Calls, 20)
	require.GreaterOrEqual(t, l.Min, -clockError)
	require.Less(t, l.Max, 300*time.Millisecond)
}

func TestMeasureSeesMistakes(t *testing.T) {
	for name, tt := range map[string]struct {
		engine *inMemory
		wrong  func(Result) int
	}{
		"early calls":      {&inMemory{times: 1, early: 30 * time.Millisecond}, func(r Result) int { return r.Lateness.Early }},
		"no calls":         {&inMemory{}, func(r Result) int { return r.Lateness.Lost }},
		"doubled calls":    {&inMemory{times: 2}, func(r Result) int { return r.Lateness.Doubled }},
		"forgotten, early": {&inMemory{times: 1, forget: true}, func(r Result) int { return r.Lateness.Early + r.Lateness.Lost }},
		"forgotten":        {&inMemory{times: 1, forget: true}, func(r Result) int { return r.Sustained[0].Lost }},
	} {
		t.Run(name, func(t *testing.T) {
			plan := tiny()
			plan.Conversations = plan.Conversations[1:]
			results := measured(t, tt.engine, plan)
			require.GreaterOrEqual(t, tt.wrong(results[len(results)-1]), 10)
		})
	}
}

// A part that fails leaves the others alone.
func TestMeasureTellsWhatFailed(t *testing.T) {
	results := measured(t, &inMemory{times: 1, fail: errors.New("no room")}, tiny())
	last := results[len(results)-1]
	require.Len(t, last.Problems, 2)
	require.Equal(t, PartSustained, last.Problems[0].Part)
	require.Contains(t, last.Problems[0].Reason, "10 conversations: message of conversation-")
	require.Contains(t, last.Problems[0].Reason, "no room")
	require.Equal(t, PartLateness, last.Problems[1].Part)
	require.NotNil(t, last.Stored, "measured before the first message")
	require.Nil(t, last.Lateness)
}

func TestMeasureOfAnEngineThatDoesNotOpen(t *testing.T) {
	broken := engine.Engine{Name: "broken", Open: func(context.Context, engine.Setup) (engine.Session, error) {
		return nil, errors.New("no such server")
	}}
	var last Result
	require.NoError(t, Measure(t.Context(), broken, stores.Servers{}, tiny(), func(r Result) { last = r }))
	require.Equal(t, Result{Name: "broken", Problems: []Problem{
		{PartSustained, "open: no such server"}, {PartLateness, "open: no such server"},
	}}, last)
}

func TestARareSweepIsNotMeasuredInAShortRun(t *testing.T) {
	rare := (&inMemory{times: 1}).engine()
	rare.Looks = time.Minute
	require.False(t, Short().Lateness.canWait(rare))
	require.True(t, Full().Lateness.canWait(rare))
}

func TestMeasureStopsWhenItIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	plan := tiny()
	plan.For = time.Hour
	opened := make(chan struct{}, 2)
	m := (&inMemory{times: 1}).engine()
	open := m.Open
	m.Open = func(ctx context.Context, setup engine.Setup) (engine.Session, error) {
		opened <- struct{}{}
		return open(ctx, setup)
	}
	ended := make(chan error)
	go func() { ended <- Measure(ctx, m, stores.Servers{}, plan, func(Result) {}) }()
	<-opened
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestSalesforceWritesCallsDown(t *testing.T) {
	s, err := startSalesforce(t.Context())
	require.NoError(t, err)
	defer s.stop()
	before := time.Now()
	require.NoError(t, s.call(t.Context(), "c1"))
	require.Len(t, s.ledger("c1").calls, 1)
	require.WithinRange(t, s.ledger("c1").calls[0], before, time.Now())
	require.Empty(t, s.ledger("c2").calls)

	post := func(path, body string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(text)
	}
	status, text := post(callPath, `{"conversationIdentifier":"c1","operation":"End"}`)
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"success":true}`, text)
	require.Len(t, s.ledger("c1").calls, 1, "an End is no idle call")

	status, _ = post(callPath, `{"conversationIdent`)
	require.Equal(t, http.StatusBadRequest, status)
	_, text = post(tokenPath, "grant_type=client_credentials")
	require.Contains(t, text, `"access_token"`)
}
