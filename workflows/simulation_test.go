package workflows

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/simulation"
)

var (
	firstSeed     = flag.Uint64("simulate.seed", 1, "the first seed")
	conversations = flag.Int("simulate.conversations", 2000, "how many conversations are simulated")
	quick         = flag.Bool("simulate.quick", false, "do not look for the shortest story that fails")
	stories       = flag.Int("simulate.stories", 1000, "how many runs are played on the real workflow too")
)

// The rules of the product hold in every simulated conversation, see package simulation.
//
// A failure prints the shortest story that fails and its seed. To play that again:
//
//	go test ./workflows -run TestSimulation -v -args -simulate.conversations=1 -simulate.seed=<seed>
func TestSimulation(t *testing.T) {
	var next atomic.Int64
	var mu sync.Mutex
	coverage := simulation.Coverage{}
	began := time.Now()
	work := func(t *testing.T) {
		for !t.Failed() {
			i := next.Add(1) - 1
			if i >= int64(*conversations) {
				return
			}
			story := simulation.Draw(*firstSeed + uint64(i))
			h, violations := simulate(t, story)
			mu.Lock()
			coverage.Add(h)
			if n := coverage.Conversations; n%100_000 == 0 {
				fmt.Fprintf(os.Stderr, "%d conversations, %.0f a second\n", n, float64(n)/time.Since(began).Seconds())
			}
			mu.Unlock()
			switch {
			case len(violations) > 0:
				next.Store(int64(*conversations))
				t.Errorf("found after %d conversations: %s\n%s", i+1, violations[0].Rule, report(t, story, violations))
			case *conversations == 1:
				t.Logf("%s\n%s", story, h)
			}
		}
	}
	t.Run("all", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("worker", func(t *testing.T) {
				t.Parallel()
				work(t)
			})
		}
	})
	t.Log(coverage)
	const enough = 20_000
	if *conversations >= enough && !t.Failed() {
		require.Empty(t, coverage.Missing(), "the stories cover too little")
	}
}

func simulate(t *testing.T, story simulation.Story) (h *simulation.History, violations []simulation.Violation) {
	synctest.Test(t, func(*testing.T) {
		h = simulation.Run(story, newMachine)
		violations = simulation.Check(h)
	})
	return h, violations
}

// report describes a failure by the shortest story that breaks the same rule.
func report(t *testing.T, story simulation.Story, violations []simulation.Violation) string {
	if *quick {
		return fmt.Sprint("seed ", story.Seed)
	}
	rule := violations[0].Rule
	story = simulation.Shrink(story, func(s simulation.Story) bool {
		_, found := simulate(t, s)
		return slices.ContainsFunc(found, func(v simulation.Violation) bool { return v.Rule == rule })
	})
	h, violations := simulate(t, story)
	return fmt.Sprintf("seed %d: %v\n%s\n%s", story.Seed, violations, story, h)
}

// machine executes what the state decides, as the runner does on Temporal. That both do
// the same is shown by TestStoriesOnTheWorkflow.
type machine struct {
	runner
	ids   map[*closeRequest]string
	timer time.Time
	// stopping: it was cancelled in this session. ending: it ends that therefore.
	stopping, ending bool
	session          int
}

func newMachine(b simulation.Beginning) simulation.Machine {
	m := &machine{ids: map[*closeRequest]string{}}
	if b.Carried == nil {
		m.state = newState(b.Start, b.Now)
		return m
	}
	m.state = &State{}
	if err := json.Unmarshal(b.Carried, m.state); err != nil {
		panic(err)
	}
	m.state.Policy = m.state.Policy.WithDefaults()
	return m
}

func (m *machine) Status() conversation.Status { return m.status() }

func (m *machine) Task(t simulation.Task) (c simulation.Commands) {
	m.receive(t)
	if t.Canceled || m.stopping {
		m.stop(t, &c)
	} else {
		m.turn(t, &c)
	}
	c.Timer = m.timer
	return c
}

// turn is runner.run from one wait to the next.
func (m *machine) turn(t simulation.Task, c *simulation.Commands) {
	m.complete(t)
	m.drain(t)
	for {
		next := m.state.step(t.Now)
		switch {
		case next.gaveUp:
			blocked := m.state.Blocked
			c.Closed = &simulation.Closed{
				Failed: temporal.NewNonRetryableApplicationError(blocked.Message, blocked.Reason, nil),
			}
			return
		case m.isFinished() && m.state.Next != nil:
			c.Closed = continued(m.state.asFirst(t.Now))
			return
		case m.isFinished():
			c.Closed = &simulation.Closed{Outcome: m.state.Outcome}
			return
		case m.shouldContinueAsNew(t):
			c.Closed = continued(m.state)
			return
		}
		m.reconcile(next.due, t.HistoryTooLong, c)
		m.resetTimer(next, t.Now)
		m.resolveCloses()
		m.passOn(c)
		if !m.isFinished() && !m.shouldContinueAsNew(t) {
			return
		}
	}
}

func (m *machine) isQuiet() bool { return m.pendingCall == nil && len(m.closeRequests) == 0 }

func (m *machine) isFinished() bool { return m.state.Outcome != nil && m.isQuiet() }

func (m *machine) shouldContinueAsNew(t simulation.Task) bool {
	return m.state.Outcome == nil && t.HistoryTooLong && m.isQuiet()
}

func continued(s *State) *simulation.Closed {
	carried, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	start := conversation.Start{Identity: s.Identity, Policy: s.Policy, At: s.SessionSince}
	return &simulation.Closed{Next: &simulation.Next{Start: start, Carried: carried}}
}

func (m *machine) receive(t simulation.Task) {
	for _, u := range t.Updates {
		request := &closeRequest{close: u.Close, generation: noGeneration}
		m.ids[request] = u.ID
		m.updates = append(m.updates, request)
	}
}

func (m *machine) drain(t simulation.Task) {
	s, now := m.state, t.Now
	for _, name := range []string{
		conversation.SignalStart, conversation.SignalSessionStatus, conversation.SignalMessage, conversation.SignalClose,
		"updates", conversation.SignalCallFailing, conversation.SignalRetry,
	} {
		if name == "updates" {
			m.applyUpdates(now)
		}
		for _, signal := range t.Signals {
			if signal.Name != name {
				continue
			}
			switch e := signal.Payload.(type) {
			case conversation.Start:
				s.applyStart(e, now)
			case conversation.SessionStatus:
				s.applySessionStatus(e, now)
			case conversation.Message:
				s.applyMessage(e, now)
			case conversation.Close:
				s.applyClose(e, now)
			case conversation.CallFailing:
				if m.pendingCall != nil {
					s.applyCallFailing(e)
				}
			case conversation.Retry:
				s.applyRetry()
			}
		}
	}
}

func (m *machine) complete(t simulation.Task) {
	if t.Result == nil || m.pendingCall == nil {
		return
	}
	p := m.pendingCall
	m.pendingCall = nil
	if t.Result.Err != nil {
		m.state.callFailed(p.call, t.Result.Err, p.cancelRequested, t.Now)
	} else {
		m.state.callSucceeded(p.call, t.Result.Answer, t.Now)
	}
	m.state.Failing = nil
}

func (m *machine) reconcile(due *call, historyTooLong bool, c *simulation.Commands) {
	if historyTooLong && len(m.closeRequests) == 0 {
		due = nil
	}
	switch {
	case m.pendingCall == nil && due != nil:
		m.start(*due, c)
	case m.pendingCall != nil && (due == nil || !due.same(m.pendingCall.call)):
		m.cancel(c)
	}
}

func (m *machine) start(due call, c *simulation.Commands) {
	m.pendingCall = &pendingCall{call: due}
	c.Call = &simulation.Call{Operation: due.Operation, Request: due.Request, HangUp: due.hangUp}
}

func (m *machine) resetTimer(next decision, now time.Time) {
	if !m.timer.After(now) {
		m.timer = time.Time{}
	}
	overdue := !next.deadline.After(now)
	if next.needsTimer(m.timer) && (m.pendingCall == nil || !overdue) {
		m.timer = latest(next.deadline, now.Add(time.Millisecond))
	}
}

// passOn passes on the updates that have a result.
func (m *machine) passOn(c *simulation.Commands) {
	if len(m.ids) == len(m.closeRequests)+len(m.updates) {
		return // none has, and there may be thousands
	}
	for request, id := range m.ids {
		if request.resolved() {
			c.Resolved = append(c.Resolved, simulation.Resolved{ID: id, Outcome: request.outcome, Err: request.err})
			delete(m.ids, request)
		}
	}
}

// stop is runner.stop.
func (m *machine) stop(t simulation.Task, c *simulation.Commands) {
	m.complete(t)
	m.timer = time.Time{}
	if !m.stopping {
		m.stopping, m.session = true, m.state.Generation
		m.cancel(c)
	}
	m.drain(t)
	replaced := m.state.Generation != m.session
	switch {
	case m.pendingCall != nil:
		if m.state.Outcome != nil || m.pendingCall.call.generation != m.state.Generation {
			m.cancel(c)
		}
		return
	case m.state.Policy.EndOnCancel && m.state.Outcome == nil && !replaced && !m.ending:
		m.ending = true
		m.state.applyClose(conversation.Close{By: conversation.System}, t.Now)
		m.start(m.state.newCall(conversation.End, m.state.Closing.By), c)
		return
	case m.ending:
		m.state.markCanceled()
	}
	m.failCloses(temporal.NewCanceledError())
	m.passOn(c)
	switch {
	case replaced:
		c.Closed = continued(m.state)
	case m.state.Outcome != nil && m.state.Next != nil:
		c.Closed = continued(m.state.asFirst(t.Now))
	case m.state.Outcome != nil:
		c.Closed = &simulation.Closed{Canceled: temporal.NewCanceledError(*m.state.Outcome)}
	default:
		c.Closed = &simulation.Closed{Canceled: temporal.NewCanceledError()}
	}
}

func (m *machine) cancel(c *simulation.Commands) {
	if m.pendingCall != nil {
		m.pendingCall.cancelRequested, c.CancelCall = true, true
	}
}
