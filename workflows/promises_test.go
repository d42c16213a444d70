package workflows

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"pgregory.net/rapid"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

func TestPromises(t *testing.T) {
	report := func(sender string, at time.Time, window time.Duration) conversation.Message {
		return conversation.Message{At: at, Lease: conversation.Lease{Holder: sender, Duration: conversation.Duration(window)}}
	}
	const window = 5 * time.Minute
	for name, tt := range map[string]struct {
		reports []conversation.Message
		want    time.Time
	}{
		"without one, the last message counts":   {[]conversation.Message{{At: at(60)}}, at(660)},
		"one that stands":                        {[]conversation.Message{report("a", at(60), window)}, at(960)},
		"one that is taken back":                 {[]conversation.Message{report("a", at(60), window), report("a", at(60), 0)}, at(660)},
		"another sender's is its own":            {[]conversation.Message{report("a", at(60), window), report("b", at(70), 0)}, at(960)},
		"a plain message takes none back":        {[]conversation.Message{report("a", at(60), window), {At: at(70)}}, at(960)},
		"the later of two":                       {[]conversation.Message{report("a", at(60), window), report("b", at(30), window)}, at(960)},
		"a shorter one of the same sender":       {[]conversation.Message{report("a", at(60), window), report("a", at(61), time.Minute)}, at(721)},
		"an older report of the same sender":     {[]conversation.Message{report("a", at(60), window), report("a", at(59), 0)}, at(960)},
		"an older one, after it was replaced":    {[]conversation.Message{report("a", at(60), window), report("a", at(70), window), report("a", at(60), 0)}, at(970)},
		"one that ends before the last activity": {[]conversation.Message{report("a", at(60), window), {At: at(400)}}, at(1000)},
		"one of the future is of now":            {[]conversation.Message{report("a", at(9999), window)}, at(500 + 300 + 600)},
	} {
		t.Run(name, func(t *testing.T) {
			s := active(s1)
			for _, r := range tt.reports {
				s.message(r, at(500))
			}
			require.Equal(t, tt.want, s.inactivateAt())
		})
	}
}

var fiveMinutes = conversation.Lease{Holder: "a", Duration: conversation.Duration(5 * time.Minute)}

// After a correction, told while Inactive, an older message may be reported.
func TestWhatIsTakenBackLeavesNothing(t *testing.T) {
	s := active(s1)
	s.message(conversation.Message{At: at(10), Lease: fiveMinutes}, at(10))
	s.sessionStatus(conversation.SessionStatus{SessionID: s1, Status: "Inactive", At: at(20)}, at(20))
	correction := started(s1, 30)
	correction.Lease = conversation.Lease{Holder: fiveMinutes.Holder}
	s.started(correction, at(30))
	require.Empty(t, s.Promises)
	s.message(conversation.Message{At: at(25), Lease: fiveMinutes}, at(31))
	require.Equal(t, at(325), s.promisedUntil())
}

func TestAConversationThatIsNeverMadeInactiveStillEnds(t *testing.T) {
	s := active(s1)
	s.Policy.InactivateAfter = new(conversation.Duration(0))
	s.message(conversation.Message{At: at(10), Lease: fiveMinutes}, at(10))
	s.sessionStatus(conversation.SessionStatus{SessionID: s1, Status: "Inactive", At: at(20)}, at(20))
	s.lapse(at(340))
	require.Equal(t, conversation.Inactive, s.Phase())
	require.Equal(t, at(310).Add(time.Hour), s.endAt())
}

func TestAPromiseCountsInTheNextLife(t *testing.T) {
	s := active(s1)
	s.closed(conversation.Close{At: at(100)}, at(100))
	s.message(conversation.Message{At: at(101)}, at(101))
	require.Equal(t, at(701), s.Next.inactivateAt())
	s.message(conversation.Message{At: at(99), Lease: fiveMinutes}, at(102))
	require.Equal(t, at(999), s.Next.inactivateAt(), "its sender may keep messages of after the close")
}

func TestTooManySendersCountTogether(t *testing.T) {
	s := active(s1)
	for i := range 3 * rememberedPromises {
		s.message(conversation.Message{At: at(60 + i), Lease: conversation.Lease{
			Holder: string(rune('A' + i)), Duration: conversation.Duration(10 * time.Minute),
		}}, at(500))
	}
	require.Len(t, s.Promises, rememberedPromises)
	require.Equal(t, at(60+3*rememberedPromises-1+1200), s.inactivateAt(), "late, never early")
}

// Whatever senders absorb, however they die, and wherever their clocks stand: no
// conversation is made Inactive before a message that was accepted is
// inactivateAfter ago, and none later than its last message asks for, but for
// the window of a sender that has died.
func TestNeverEarly(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sc := drawSchedule(rt)
		var got observed
		synctest.Test(t, func(t *testing.T) { got = sc.run(t) })
		if complaint := sc.check(got); complaint != "" {
			rt.Fatalf("%s\nschedule %+v\nmessages %v\ninactivated %v, said %v", complaint, sc, got.accepted, got.inactivated, got.said)
		}
	})
}

// schedule is what happens to one conversation.
type schedule struct {
	senders  []senderPlan
	messages []messagePlan
	// skew is how far the clock of Temporal is ahead of the senders'.
	skew time.Duration
	// latency is that of every call, cuts are when calls fail.
	latency time.Duration
	cuts    []span
}

type senderPlan struct {
	window time.Duration
	// dies is when its process is killed, zero for never.
	dies time.Duration
}

// kind is what is told. A start is a sign of life, too, of an Active conversation.
// A word is Salesforce's, that the session is Inactive, which comes by another way.
type kind string

const (
	byMessage kind = "message"
	byStart   kind = "start"
	byWord    kind = "word"
)

type messagePlan struct {
	sender int
	at     time.Duration
	kind   kind
	// skew is how far the event's time is off.
	skew time.Duration
}

type span struct{ from, to time.Duration }

const (
	inactivateAfter = 10 * time.Minute
	longestWindow   = inactivateAfter / 2
)

func drawSchedule(t *rapid.T) schedule {
	draw := func(label string, least, most time.Duration) time.Duration {
		return time.Duration(rapid.Int64Range(int64(least/time.Millisecond), int64(most/time.Millisecond)).Draw(t, label)) * time.Millisecond
	}
	var sc schedule
	for range rapid.IntRange(1, 3).Draw(t, "senders") {
		plan := senderPlan{window: rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, longestWindow}).Draw(t, "window")}
		if rapid.Bool().Draw(t, "dies") {
			plan.dies = draw("death", time.Millisecond, 40*time.Minute)
		}
		sc.senders = append(sc.senders, plan)
	}
	var now time.Duration
	for range rapid.IntRange(1, 25).Draw(t, "messages") {
		now += draw("gap", 0, rapid.SampledFrom([]time.Duration{time.Second, time.Minute, longestWindow, inactivateAfter + time.Minute}).Draw(t, "scale"))
		m := messagePlan{sender: rapid.IntRange(0, len(sc.senders)-1).Draw(t, "sender"), at: now, kind: rapid.SampledFrom([]kind{byMessage, byMessage, byMessage, byMessage, byMessage, byMessage, byStart, byWord}).Draw(t, "kind")}
		if rapid.Bool().Draw(t, "skewed") {
			m.skew = draw("event skew", -3*time.Second, 3*time.Second)
		}
		sc.messages = append(sc.messages, m)
	}
	if rapid.Bool().Draw(t, "server skewed") {
		sc.skew = draw("skew", -3*time.Second, 3*time.Second)
	}
	sc.latency = draw("latency", 0, 100*time.Millisecond)
	if rapid.IntRange(0, 3).Draw(t, "cut") == 0 {
		from := draw("from", 0, now)
		sc.cuts = append(sc.cuts, span{from, from + draw("for", 0, inactivateAfter)})
	}
	return sc
}

func (m messagePlan) tell(ctx context.Context, s *sender.Sender) (err error) {
	at := time.Now().Add(m.skew)
	if m.kind == byStart {
		_, err = s.Start(ctx, conversation.Start{Identity: identity(s1), Policy: policy(), At: at})
		return err
	}
	_, err = s.Message(ctx, identity(s1), conversation.Message{At: at})
	return err
}

func policy() conversation.Policy {
	return conversation.Policy{InactivateAfter: new(conversation.Duration(inactivateAfter)), EndAfter: new(conversation.Duration(0))}
}

// observed is what came of a schedule.
type observed struct {
	accepted    []accepted
	inactivated []time.Time
	// said is when Salesforce said that the session is Inactive.
	said []time.Time
	// told is the time of the last message, which may have been accepted or not.
	told time.Time
	// lowered counts how often the timer that stood rang too late for what had
	// become known.
	lowered int
	began   time.Time
}

type accepted struct {
	at, when time.Time
	kind     kind
}

func (sc schedule) run(t *testing.T) (got observed) {
	got.began = time.Now()
	c := &kept{schedule: sc, began: got.began}
	var senders []*sender.Sender
	var processes []*process
	for _, plan := range sc.senders {
		p := &process{kept: c}
		if plan.dies > 0 {
			p.dies = got.began.Add(plan.dies)
		}
		processes = append(processes, p)
		senders = append(senders, sender.New(p, sender.Options{
			Window: new(conversation.Duration(plan.window)), Policy: policy(),
		}))
	}
	var telling sync.WaitGroup
	for _, m := range sc.messages {
		time.Sleep(time.Until(got.began.Add(m.at)))
		if m.kind == byWord {
			c.say()
			continue
		}
		if processes[m.sender].dead() {
			continue
		}
		got.told = time.Now()
		telling.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			// One of the future is of now.
			at := time.Now().Add(min(0, m.skew))
			err := m.tell(ctx, senders[m.sender])
			if err == nil && !processes[m.sender].dead() {
				c.mu.Lock()
				got.accepted = append(got.accepted, accepted{at: at, when: time.Now(), kind: m.kind})
				c.mu.Unlock()
			}
		})
	}
	telling.Wait()
	time.Sleep(3 * inactivateAfter)
	for _, p := range processes {
		p.kill()
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range senders {
		_ = s.Close(gone)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopTimer()
	got.inactivated, got.said, got.lowered = c.inactivated, c.said, c.lowered
	return got
}

// check compares what came of a schedule with what a clock that knows every
// accepted message says. The empty string is no complaint.
func (sc schedule) check(got observed) string {
	tolerance := max(sc.skew, -sc.skew) + 2*sc.latency + time.Millisecond
	for _, idle := range got.inactivated {
		for _, m := range got.accepted {
			if m.kind == byStart && got.wasInactive(m.when) {
				continue // no sign of life then
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
		if s.dies > 0 || len(sc.cuts) > 0 {
			late = max(late, s.window+tolerance+time.Second)
		}
	}
	for _, cut := range sc.cuts {
		late += cut.to - cut.from
	}
	switch end := got.told.Add(inactivateAfter + late); {
	case !got.quiet(tolerance):
		return "not made Inactive after its last message"
	case len(got.inactivated) > 0 && got.inactivated[len(got.inactivated)-1].After(end):
		return "made Inactive too late"
	case got.lowered > 0 && len(got.said) == 0 && late == tolerance+time.Second:
		return "a timer had to be lowered"
	}
	return ""
}

// wasInactive reports whether the conversation has been Inactive by then.
func (o observed) wasInactive(when time.Time) bool {
	by := func(t time.Time) bool { return !t.After(when) }
	return slices.ContainsFunc(o.inactivated, by) || slices.ContainsFunc(o.said, by)
}

// quiet reports whether the conversation was made Inactive, or Salesforce has said
// that it is, after the last message that was accepted.
func (o observed) quiet(tolerance time.Duration) bool {
	var last time.Time
	for _, m := range o.accepted {
		if m.kind == byMessage {
			last = latest(last, m.at)
		}
	}
	after := func(t time.Time) func(time.Time) bool {
		return func(is time.Time) bool { return !is.Before(t.Add(-tolerance)) }
	}
	return slices.ContainsFunc(o.inactivated, after(last.Add(inactivateAfter))) || slices.ContainsFunc(o.said, after(last))
}

// kept is the conversation: its state and its one timer, on Temporal's clock.
type kept struct {
	schedule schedule
	began    time.Time

	mu          sync.Mutex
	state       *State
	timer       *time.Timer
	rings       time.Time
	inactivated []time.Time
	said        []time.Time
	lowered     int
}

func (c *kept) now() time.Time { return time.Now().Add(c.schedule.skew) }

// begin reports whether the conversation began with this start.
func (c *kept) begin(start conversation.Start) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != nil {
		return false
	}
	c.state = newState(start, c.now())
	c.step()
	return true
}

func (c *kept) take(payload any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := payload.(type) {
	case conversation.Start:
		c.state.started(e, c.now())
	case conversation.Message:
		c.state.message(e, c.now())
	}
	c.step()
}

// say is Salesforce's word that the session is Inactive.
func (c *kept) say() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return
	}
	c.state.sessionStatus(conversation.SessionStatus{SessionID: s1, Status: conversation.StatusInactive, At: time.Now()}, c.now())
	c.said = append(c.said, time.Now())
	c.step()
}

// step is what the workflow does with what it knows.
func (c *kept) step() {
	now := c.now()
	c.state.lapse(now)
	if due, isDue := c.state.due(now); isDue {
		c.state.succeeded(due, conversation.Answer{Operation: due.Operation, Attempt: 1}, now)
		c.inactivated = append(c.inactivated, time.Now())
	}
	deadline := c.state.deadline(now)
	switch {
	case deadline.IsZero():
		c.stopTimer()
		return
	case c.timer != nil && !c.rings.After(deadline):
		return
	case c.timer != nil:
		c.lowered++
		c.stopTimer()
	}
	c.rings = deadline
	c.timer = time.AfterFunc(deadline.Sub(now), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.timer = nil
		c.step()
	})
}

func (c *kept) stopTimer() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// process is one sender's connection, which ends when it is killed.
type process struct {
	client.Client
	kept *kept

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

// reach is the way to Temporal.
func (p *process) reach() error {
	time.Sleep(p.kept.schedule.latency)
	since := time.Since(p.kept.began)
	cut := slices.ContainsFunc(p.kept.schedule.cuts, func(s span) bool { return since >= s.from && since < s.to })
	if cut || p.dead() {
		return serviceerror.NewUnavailable("cut off")
	}
	return nil
}

func (p *process) ExecuteWorkflow(_ context.Context, _ client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	if err := p.reach(); err != nil {
		return nil, err
	}
	if !p.kept.begin(args[0].(conversation.Start)) {
		return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("it runs", "", "run")
	}
	return nil, p.reach()
}

func (p *process) SignalWithStartWorkflow(_ context.Context, _, _ string, payload any, _ client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	if err := p.reach(); err != nil {
		return nil, err
	}
	p.kept.begin(args[0].(conversation.Start))
	p.kept.take(payload)
	return nil, p.reach()
}

func (p *process) SignalWorkflow(_ context.Context, _, _, _ string, payload any) error {
	if err := p.reach(); err != nil {
		return err
	}
	p.kept.take(payload)
	return p.reach()
}
