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

// inMemory is an engine with a timer for each conversation. Its last fields make
// it do something wrong.
type inMemory struct {
	engine.Setup
	mu        sync.Mutex
	timers    map[string]*time.Timer
	deadlines map[string]time.Time

	// calls is how many calls it makes for a deadline, early how long before it.
	calls int
	early time.Duration
	// ignoreMessages makes it acknowledge messages and do nothing else.
	ignoreMessages bool
	// messageErr is the result of every message.
	messageErr error
}

func (m *inMemory) engine() engine.Engine {
	open := func(_ context.Context, setup engine.Setup) (engine.Instance, error) {
		m.Setup, m.timers, m.deadlines = setup, map[string]*time.Timer{}, map[string]time.Time{}
		return m, nil
	}
	return engine.Engine{Key: "in-memory", Name: "in memory", Open: open}
}

func (m *inMemory) StartConversation(_ context.Context, id string, at time.Time) (engine.Conversation, error) {
	m.startTimer(id, at) //nolint:contextcheck // the call is made later
	return inMemoryConversation{m, id}, nil
}

func (m *inMemory) startTimer(id string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if timer := m.timers[id]; timer != nil {
		timer.Stop()
	}
	m.deadlines[id] = at.Add(m.Idle)
	m.timers[id] = time.AfterFunc(time.Until(m.deadlines[id])-m.early, func() {
		for range m.calls {
			_ = m.Call(context.Background(), id)
		}
	})
}

func (m *inMemory) IdleDeadline(_ context.Context, id string) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.deadlines[id], nil
}

func (m *inMemory) StoredBytes(context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(100 * len(m.deadlines)), nil
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
	if c.messageErr == nil && !c.ignoreMessages {
		c.startTimer(c.id, at) //nolint:contextcheck // the call is made later
	}
	return c.messageErr
}

// tiny is a plan for an engine in memory.
func tiny() Plan {
	return Plan{
		Senders: 4, Conversations: []int{10, 20}, Duration: 50 * time.Millisecond,
		Lateness: LatenessPlan{
			Conversations: 20, Rate: 1000, Idle: 2 * callTransit,
			StopWithin: 100 * time.Millisecond, LostAfter: 300 * time.Millisecond,
		},
	}
}

// measureAll returns the results that Measure reports. The process of the test
// takes the place of the stores.
func measureAll(t *testing.T, m *inMemory, plan Plan) (results []Result) {
	t.Helper()
	servers := stores.Servers{Postgres: stores.Postgres{PID: os.Getpid()}, Redis: stores.Redis{PID: os.Getpid()}}
	err := Measure(t.Context(), m.engine(), servers, plan, func(r Result) { results = append(results, r) })
	require.NoError(t, err)
	return results
}

func TestMeasure(t *testing.T) {
	results := measureAll(t, &inMemory{calls: 1}, tiny())
	require.Len(t, results, 4, "one after each part")
	last := results[3]
	require.Empty(t, last.Problems)
	require.Equal(t, "in-memory", last.Key)
	require.Len(t, last.Throughput, 2)
	for i, count := range []int{10, 20} {
		run := last.Throughput[i]
		require.Equal(t, count, run.Conversations)
		require.Greater(t, run.Messages, int64(count))
		require.GreaterOrEqual(t, run.Took, 50*time.Millisecond)
		require.Positive(t, run.CPU)
		require.Equal(t, count, run.Checked)
		require.Zero(t, run.Lost)
	}
	require.InDelta(t, 100, *last.Stored, 0)
	require.Nil(t, last.Cost, "only engines on Temporal have a cost")

	l := *last.Lateness
	require.Equal(t, []int{20, 0, 0, 0}, []int{l.Expected, l.Early, l.Lost, l.Doubled})
	require.GreaterOrEqual(t, l.Calls, 20)
	require.GreaterOrEqual(t, l.Min, -clockError)
	require.Less(t, l.Max, 300*time.Millisecond)
}

func TestMeasureCountsMistakes(t *testing.T) {
	for name, tt := range map[string]struct {
		engine *inMemory
		count  func(Result) int
	}{
		"early calls": {
			&inMemory{calls: 1, early: 30 * time.Millisecond},
			func(r Result) int { return r.Lateness.Early },
		},
		"no calls":      {&inMemory{}, func(r Result) int { return r.Lateness.Lost }},
		"doubled calls": {&inMemory{calls: 2}, func(r Result) int { return r.Lateness.Doubled }},
		"ignored messages, idle calls": {
			&inMemory{calls: 1, ignoreMessages: true},
			func(r Result) int { return r.Lateness.Early + r.Lateness.Lost },
		},
		"ignored messages, stored deadlines": {
			&inMemory{calls: 1, ignoreMessages: true},
			func(r Result) int { return r.Throughput[0].Lost },
		},
	} {
		t.Run(name, func(t *testing.T) {
			plan := tiny()
			plan.Conversations = plan.Conversations[1:]
			results := measureAll(t, tt.engine, plan)
			require.GreaterOrEqual(t, tt.count(results[len(results)-1]), 10)
		})
	}
}

func TestMeasureReportsFailedPartsAndGoesOn(t *testing.T) {
	results := measureAll(t, &inMemory{calls: 1, messageErr: errors.New("store is full")}, tiny())
	last := results[len(results)-1]
	require.Len(t, last.Problems, 2)
	require.Equal(t, PartThroughput, last.Problems[0].Part)
	require.Contains(t, last.Problems[0].Reason, "10 conversations: message of conversation-")
	require.Contains(t, last.Problems[0].Reason, "store is full")
	require.Equal(t, PartLateness, last.Problems[1].Part)
	require.NotNil(t, last.Stored, "measured before the first message")
	require.Nil(t, last.Lateness)
}

func TestMeasureEngineThatDoesNotOpen(t *testing.T) {
	broken := engine.Engine{Name: "broken", Open: func(context.Context, engine.Setup) (engine.Instance, error) {
		return nil, errors.New("no such server")
	}}
	var last Result
	require.NoError(t, Measure(t.Context(), broken, stores.Servers{}, tiny(), func(r Result) { last = r }))
	require.Equal(t, Result{Name: "broken", Problems: []Problem{
		{PartThroughput, "open: no such server"}, {PartLateness, "open: no such server"},
	}}, last)
}

func TestMeasureStopsWhenTheContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	plan := tiny()
	plan.Duration = time.Hour
	opened := make(chan struct{}, 2)
	m := (&inMemory{calls: 1}).engine()
	open := m.Open
	m.Open = func(ctx context.Context, setup engine.Setup) (engine.Instance, error) {
		opened <- struct{}{}
		return open(ctx, setup)
	}
	ended := make(chan error)
	go func() { ended <- Measure(ctx, m, stores.Servers{}, plan, func(Result) {}) }()
	<-opened
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestSalesforceRecordsCalls(t *testing.T) {
	s, err := startSalesforce(t.Context())
	require.NoError(t, err)
	defer s.stop()
	before := time.Now()
	require.NoError(t, s.call(t.Context(), "c1"))
	require.Len(t, s.timeline("c1").calls, 1)
	require.WithinRange(t, s.timeline("c1").calls[0], before, time.Now())
	require.Empty(t, s.timeline("c2").calls)

	post := func(path, body string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(text)
	}
	status, text := post(callPath, `{"conversationIdentifier":"c1","operation":"End"}`)
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"success":true}`, text)
	require.Len(t, s.timeline("c1").calls, 1, "an End is not an idle call")

	status, _ = post(callPath, `{"conversationIdent`)
	require.Equal(t, http.StatusBadRequest, status)
	_, text = post(tokenPath, "grant_type=client_credentials")
	require.Contains(t, text, `"access_token"`)
}
