package workflows

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"pgregory.net/rapid"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

// A conversation is never made Inactive earlier than inactivateAfter after a message
// that a sender accepted. It is not made Inactive later than inactivateAfter after its
// last message; only the death of a sender may delay it, by one window. This holds for
// all windows and clock differences. The senders and State.step are the real ones; only
// Temporal, Salesforce and the time are simulated.
func TestNeverEarly(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sc := drawSchedule(rt)
		var got observed
		synctest.Test(t, func(t *testing.T) { got = sc.run(t) })
		if violation := sc.check(got); violation != "" {
			rt.Fatalf("%s\nschedule %+v\nmessages %v\nmade Inactive %v, reported Inactive by Salesforce %v",
				violation, sc, got.accepted, got.inactivated, got.reported)
		}
	})
}

// schedule is what happens to one conversation. Times count from its beginning.
type schedule struct {
	senders []senderPlan
	events  []eventPlan
	// skew is how far the clock of Temporal is ahead of the senders' clocks.
	skew time.Duration
	// latency is that of every request to Temporal.
	latency time.Duration
	// outages are the times in which Temporal cannot be reached.
	outages []span
}

type senderPlan struct {
	window time.Duration
	// dies is when the process is killed, zero for never.
	dies time.Duration
}

// kind is the kind of an event.
type kind string

const (
	messageEvent kind = "message"
	// startEvent is an activity too, but only of an Active conversation.
	startEvent kind = "start"
	// statusEvent comes from Salesforce, not from a sender: the session is Inactive.
	statusEvent kind = "status"
)

type eventPlan struct {
	sender int
	at     time.Duration
	kind   kind
	// skew is the error of the event's time.
	skew time.Duration
}

type span struct{ from, to time.Duration }

const (
	inactivateAfter = 10 * time.Minute
	longestWindow   = inactivateAfter
	// longestPause is the sender's longest pause between two attempts.
	longestPause = 10 * time.Second
)

func drawSchedule(t *rapid.T) schedule {
	draw := func(label string, least, most time.Duration) time.Duration {
		millis := rapid.Int64Range(int64(least/time.Millisecond), int64(most/time.Millisecond))
		return time.Duration(millis.Draw(t, label)) * time.Millisecond
	}
	windows := rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, longestWindow / 2, longestWindow})
	gaps := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, inactivateAfter / 2, inactivateAfter + time.Minute})
	kinds := rapid.SampledFrom(append(slices.Repeat([]kind{messageEvent}, 6), startEvent, statusEvent))
	var sc schedule
	for range rapid.IntRange(1, 3).Draw(t, "senders") {
		plan := senderPlan{window: windows.Draw(t, "window")}
		if rapid.Bool().Draw(t, "dies") {
			plan.dies = draw("death", time.Millisecond, 40*time.Minute)
		}
		sc.senders = append(sc.senders, plan)
	}
	var now time.Duration
	for range rapid.IntRange(1, 25).Draw(t, "events") {
		now += draw("gap", 0, gaps.Draw(t, "scale"))
		e := eventPlan{
			sender: rapid.IntRange(0, len(sc.senders)-1).Draw(t, "sender"), at: now, kind: kinds.Draw(t, "kind"),
		}
		if rapid.Bool().Draw(t, "skewed") {
			e.skew = draw("event skew", -3*time.Second, 3*time.Second)
		}
		sc.events = append(sc.events, e)
	}
	if rapid.Bool().Draw(t, "server skewed") {
		sc.skew = draw("skew", -3*time.Second, 3*time.Second)
	}
	sc.latency = draw("latency", 0, 100*time.Millisecond)
	if rapid.IntRange(0, 3).Draw(t, "outage") == 0 {
		from := draw("from", 0, now)
		sc.outages = append(sc.outages, span{from, from + draw("for", 0, inactivateAfter)})
	}
	return sc
}

func (e eventPlan) report(ctx context.Context, s *sender.Sender) (err error) {
	at := time.Now().Add(e.skew)
	if e.kind == startEvent {
		_, err = s.Start(ctx, conversation.Start{Identity: identity(s1), Policy: policy(), At: at})
		return err
	}
	_, err = s.Message(ctx, identity(s1), conversation.Message{At: at})
	return err
}

func policy() conversation.Policy {
	return conversation.Policy{
		InactivateAfter: new(conversation.Duration(inactivateAfter)), EndAfter: new(conversation.Duration(0)),
	}
}

// observed is the result of a schedule.
type observed struct {
	accepted []accepted
	// inactivated is when the conversation called Inactivate.
	inactivated []time.Time
	// reported is when Salesforce reported that the session is Inactive.
	reported []time.Time
	// lastEvent is the time of the last event, whether a sender accepted it or not.
	lastEvent time.Time
	// lowered counts how often a timer had to be replaced by an earlier one.
	lowered int
}

// accepted is an event that a sender accepted.
type accepted struct {
	at, when time.Time
	kind     kind
}

func (sc schedule) run(t *testing.T) (got observed) {
	began := time.Now()
	c := &simulated{schedule: sc, began: began}
	var senders []*sender.Sender
	var processes []*process
	for _, plan := range sc.senders {
		p := &process{conversation: c}
		if plan.dies > 0 {
			p.dies = began.Add(plan.dies)
		}
		processes = append(processes, p)
		senders = append(senders, sender.New(p, sender.Options{
			Window: new(conversation.Duration(plan.window)), Policy: policy(),
		}))
	}
	var reports sync.WaitGroup
	for _, e := range sc.events {
		time.Sleep(time.Until(began.Add(e.at)))
		if e.kind == statusEvent {
			c.reportInactive()
			continue
		}
		if processes[e.sender].dead() {
			continue
		}
		got.lastEvent = time.Now()
		reports.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			// A future time counts as now.
			at := time.Now().Add(min(0, e.skew))
			err := e.report(ctx, senders[e.sender])
			if err == nil && !processes[e.sender].dead() {
				c.mu.Lock()
				got.accepted = append(got.accepted, accepted{at: at, when: time.Now(), kind: e.kind})
				c.mu.Unlock()
			}
		})
	}
	reports.Wait()
	time.Sleep(3 * inactivateAfter)
	for _, p := range processes {
		p.kill()
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range senders {
		_ = s.Close(canceled)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopTimer()
	got.inactivated, got.reported, got.lowered = c.inactivated, c.reported, c.lowered
	return got
}

// check compares the result with an idle clock that knows every accepted message.
// It returns the violation, or the empty string.
func (sc schedule) check(got observed) string {
	tolerance := max(sc.skew, -sc.skew) + 2*sc.latency + time.Millisecond
	for _, idle := range got.inactivated {
		for _, m := range got.accepted {
			if m.kind == startEvent && got.wasInactive(m.when) {
				continue // not an activity then
			}
			if m.when.Before(idle) && idle.Before(m.at.Add(inactivateAfter-tolerance)) {
				return "made Inactive too early"
			}
		}
	}
	if len(got.accepted) == 0 {
		return ""
	}
	late := tolerance + time.Second
	for _, s := range sc.senders {
		if s.dies > 0 || len(sc.outages) > 0 {
			late = max(late, s.window+tolerance+time.Second)
		}
	}
	for _, outage := range sc.outages {
		// A message that arrives after its own idle deadline restarts the idle time.
		late += outage.to - outage.from + longestPause
	}
	switch end := got.lastEvent.Add(inactivateAfter + late); {
	case !got.becameInactive(tolerance):
		return "not made Inactive after its last message"
	case len(got.inactivated) > 0 && got.inactivated[len(got.inactivated)-1].After(end):
		return "made Inactive too late"
	case got.lowered > 0 && len(got.reported) == 0 && late == tolerance+time.Second:
		return "a timer had to be lowered"
	}
	return ""
}

// wasInactive reports whether the conversation had been Inactive before.
func (o observed) wasInactive(when time.Time) bool {
	by := func(t time.Time) bool { return !t.After(when) }
	return slices.ContainsFunc(o.inactivated, by) || slices.ContainsFunc(o.reported, by)
}

// becameInactive reports whether the conversation was made Inactive, or Salesforce
// reported it as Inactive, after the last message that was accepted.
func (o observed) becameInactive(tolerance time.Duration) bool {
	var last time.Time
	for _, m := range o.accepted {
		if m.kind == messageEvent {
			last = latest(last, m.at)
		}
	}
	after := func(t time.Time) func(time.Time) bool {
		return func(is time.Time) bool { return !is.Before(t.Add(-tolerance)) }
	}
	return slices.ContainsFunc(o.inactivated, after(last.Add(inactivateAfter))) ||
		slices.ContainsFunc(o.reported, after(last))
}

// simulated is a conversation on a simulated Temporal: the state, its timer, and a
// Salesforce that accepts every call.
type simulated struct {
	schedule schedule
	began    time.Time

	mu          sync.Mutex
	state       *State
	timer       *time.Timer
	firesAt     time.Time
	inactivated []time.Time
	reported    []time.Time
	lowered     int
}

// now is the time by Temporal's clock.
func (c *simulated) now() time.Time { return time.Now().Add(c.schedule.skew) }

// begin starts the conversation. It returns false if it exists.
func (c *simulated) begin(start conversation.Start) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != nil {
		return false
	}
	c.state = newState(start, c.now())
	c.loop()
	return true
}

func (c *simulated) signal(payload any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := payload.(type) {
	case conversation.Start:
		c.state.applyStart(e, c.now())
	case conversation.Message:
		c.state.applyMessage(e, c.now())
	}
	c.loop()
}

// reportInactive is Salesforce's report that the session is Inactive.
func (c *simulated) reportInactive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return
	}
	c.state.applySessionStatus(conversation.SessionStatus{
		SessionID: s1, Status: conversation.StatusInactive, At: time.Now(),
	}, c.now())
	c.reported = append(c.reported, time.Now())
	c.loop()
}

// loop executes the decisions of the state, as the workflow's loop does.
func (c *simulated) loop() {
	now := c.now()
	next := c.state.step(now)
	for next.due != nil {
		answer := conversation.Answer{Operation: next.due.Operation, Attempt: 1}
		c.state.callSucceeded(*next.due, answer, now)
		c.inactivated = append(c.inactivated, time.Now())
		next = c.state.step(now)
	}
	if !next.needsTimer(c.firesAt) {
		return
	}
	if c.timer != nil {
		c.lowered++
		c.stopTimer()
	}
	c.firesAt = next.deadline
	c.timer = time.AfterFunc(next.deadline.Sub(now), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.timer, c.firesAt = nil, time.Time{}
		c.loop()
	})
}

func (c *simulated) stopTimer() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer, c.firesAt = nil, time.Time{}
	}
}

// process is the Temporal client of one sender, which fails after the process was
// killed.
type process struct {
	client.Client
	conversation *simulated

	mu   sync.Mutex
	dies time.Time
}

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dies = time.Now()
}

func (p *process) dead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.dies.IsZero() && !time.Now().Before(p.dies)
}

// request is the way of a request to Temporal, or of its answer back.
func (p *process) request() error {
	time.Sleep(p.conversation.schedule.latency)
	since := time.Since(p.conversation.began)
	outage := slices.ContainsFunc(
		p.conversation.schedule.outages,
		func(s span) bool { return since >= s.from && since < s.to },
	)
	if outage || p.dead() {
		return serviceerror.NewUnavailable("outage")
	}
	return nil
}

func (p *process) ExecuteWorkflow(
	_ context.Context,
	_ client.StartWorkflowOptions,
	_ any,
	args ...any,
) (client.WorkflowRun, error) {
	if err := p.request(); err != nil {
		return nil, err
	}
	if !p.conversation.begin(args[0].(conversation.Start)) {
		return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("it runs", "", "run")
	}
	return nil, p.request()
}

func (p *process) SignalWithStartWorkflow(
	_ context.Context,
	_, _ string,
	payload any,
	_ client.StartWorkflowOptions,
	_ any,
	args ...any,
) (client.WorkflowRun, error) {
	if err := p.request(); err != nil {
		return nil, err
	}
	p.conversation.begin(args[0].(conversation.Start))
	p.conversation.signal(payload)
	return nil, p.request()
}

func (p *process) SignalWorkflow(_ context.Context, _, _, _ string, payload any) error {
	if err := p.request(); err != nil {
		return err
	}
	p.conversation.signal(payload)
	return p.request()
}
