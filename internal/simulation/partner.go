package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

// partner is the routing system: its processes with their senders, and its operator.
type partner struct {
	*world
	processes []*process
	// operator is the process of the operator's command line.
	operator *process
	// requests counts the requests of each process.
	requests []int
	// sessions are the current sessions by the number that the story gives them.
	sessions map[int]*Session
	statuses int

	running context.Context
	cancel  context.CancelFunc
	reports sync.WaitGroup
	mu      sync.Mutex
	open    int
}

// process is one process of the routing system, begun again after it was killed.
type process struct {
	*partner
	index  int
	life   int
	plan   SenderPlan
	ending bool
	*connection
	sender *sender.Sender
}

// Report is one event, reported by one process.
type Report struct {
	Kind    StepKind
	Sender  int
	Session *Session
	// Named: the event names the session.
	Named bool
	By    conversation.By
	// At is the time that the event has, zero for none. Happened is when it really
	// happened, Sent when it was first reported.
	At, Happened, Sent time.Time
	// Acked is when it was acknowledged, zero for never.
	Acked   time.Time
	Receipt sender.Receipt
	// Outcome is what a close that waited for it returned. Refused is why it got none: an
	// operator is needed.
	Outcome *conversation.Outcome
	Refused error
	Status  conversation.SessionStatus
}

const orgID = "00D000000000001"

const endUser, somebodyElse = "end user", "somebody else"

func identity(sessionID string) conversation.Identity {
	return conversation.Identity{
		OrgID: orgID, AuthorizationContext: "Partner1", ChannelAddressIdentifier: "channel",
		EndUserClientID: endUser, ConversationIdentifier: "conv", SessionID: sessionID,
	}
}

func newPartner(w *world) *partner {
	p := &partner{world: w, sessions: map[int]*Session{}, requests: make([]int, len(w.story.Senders)+1)}
	p.running, p.cancel = context.WithCancel(context.Background())
	for i, plan := range w.story.Senders {
		p.processes = append(p.processes, p.newProcess(i, plan, 1))
	}
	p.operator = p.newProcess(len(w.story.Senders), SenderPlan{}, 1)
	return p
}

func (p *partner) newProcess(index int, plan SenderPlan, life int) *process {
	n := &process{partner: p, index: index, plan: plan, life: life}
	n.connection = &connection{world: p.world, process: index, dead: make(chan struct{})}
	n.sender = sender.New(n.connection, sender.Options{
		Window: new(conversation.Duration(plan.Window)), Policy: p.story.Policies[plan.Policy],
		ID: fmt.Sprintf("sender-%d-%d", index, life),
	})
	return n
}

// plan puts the steps on the agenda.
func (p *partner) plan() {
	for _, step := range p.story.Steps {
		p.at(p.began.Add(step.At), func() { p.do(step) })
	}
}

func (p *partner) do(s Step) {
	p.history.count("step", string(s.Kind))
	switch s.Kind {
	case Begin:
		p.begin(s)
	case Write:
		if session := p.sessions[s.Session]; session == nil || !session.EndedAt.IsZero() {
			p.begin(s) // Salesforce begins another session of the conversation
		}
		p.salesforce.wrote(p.sessions[s.Session])
		p.report(s, p.sessions[s.Session])
	case HangUp, Correct:
		session := p.sessions[s.Session]
		if session == nil || session != p.salesforce.current() {
			return // the routing system has begun the newer one, so it knows
		}
		if s.Kind == HangUp && session.HungUp.IsZero() {
			session.HungUp = time.Now()
		}
		p.report(s, session)
	case Impersonate:
		session := p.sessions[s.Session]
		if session != nil && session == p.salesforce.current() && p.hasStart(session) &&
			session.EndedAt.IsZero() && session.HungUp.IsZero() {
			p.report(s, session)
		}
	case RepEnds, RepInactive:
		status := conversation.StatusEnded
		if s.Kind == RepInactive {
			status = conversation.StatusInactive
		}
		if session := p.sessions[s.Session]; session != nil && session.EndedAt.IsZero() && session.Status != status {
			p.salesforce.change(session, status, "Agent")
		}
	case Kill, Restart:
		p.end(s.Sender, s.Kind == Restart)
	case Retry:
		go func() { _ = p.operator.sender.Retry(p.running, identity("")) }()
	case Cancel:
		if run := p.temporal.open(); run != nil {
			p.history.Canceled = append(p.history.Canceled, time.Now())
			run.cancel()
		}
	case Suggest:
		if run := p.temporal.open(); run != nil {
			run.suggested = true
		}
	}
}

func (p *partner) begin(s Step) {
	p.sessions[s.Session] = p.salesforce.begin()
	s.Kind, s.Again = Begin, 0
	p.report(s, p.sessions[s.Session])
}

// hasStart reports whether the conversation has acknowledged a start of a session.
func (p *partner) hasStart(session *Session) bool {
	return slices.ContainsFunc(p.history.Reports, func(r *Report) bool {
		return r.Session == session && (r.Kind == Begin || r.Kind == Correct) && r.Named && !r.Acked.IsZero()
	})
}

// report reports an event, late or twice if the step says so.
func (p *partner) report(s Step, session *Session) {
	happened := time.Now()
	event := &Report{
		Kind: s.Kind, Session: session, Named: s.Named, By: s.By, Sender: s.Sender, Happened: happened,
	}
	if !s.Untimed {
		event.At = happened.Add(s.Skew)
	}
	p.after(s.Delay, func() { p.tell(event, s.Wait) })
	if s.Again > 0 {
		again := *event
		p.after(s.Delay+s.Again, func() { p.tell(&again, s.Wait) })
	}
}

// passOn passes on a status entry of Salesforce.
func (p *partner) passOn(entry conversation.SessionStatus) {
	p.statuses++
	chance := p.chance(ofStatus, p.statuses)
	delay := upTo(chance, 2*time.Second)
	switch p.story.Statuses {
	case NoStatuses:
		return
	case LateStatuses:
		delay = upTo(chance, 30*time.Minute)
	}
	pass := func() {
		p.tell(&Report{
			Kind: statusEntry, Status: entry, Session: p.salesforce.byID(entry.SessionID), Named: true,
			Happened: entry.At, At: entry.At, Sender: chance.IntN(len(p.processes)),
		}, false)
	}
	p.after(delay, pass)
	if p.story.Statuses == ReplayedStatuses {
		p.after(delay+upTo(chance, 2*time.Hour), pass)
	}
}

// statusEntry is the kind of a report of a status entry. The story has no such step:
// Salesforce sends the entries.
const statusEntry StepKind = "status entry"

// tell reports an event by its process, and again until it is acknowledged if the plan
// says so.
func (p *partner) tell(r *Report, wait bool) {
	r.Sent = time.Now()
	p.history.Reports = append(p.history.Reports, r)
	p.history.count("event", string(r.Kind))
	p.count(1)
	p.reports.Go(func() {
		defer p.count(-1)
		for p.running.Err() == nil {
			process := p.process(r.Sender)
			err := process.send(p.running, r, wait)
			if err == nil && process.isAlive() {
				r.Acked = time.Now()
				return
			}
			repeats := process.plan.Repeats || r.Kind == statusEntry
			if !repeats || r.Refused != nil || err != nil && !isTransient(err) {
				return
			}
			_, _ = p.send(p.running, &request{process: r.Sender, what: "repeat " + r.text(), pause: 2 * time.Second})
		}
	})
}

// text orders what is repeated at the same moment.
func (r *Report) text() string { return fmt.Sprint(r.Kind, r.Sent, r.At, r.Status) }

// isTransient reports whether the routing system repeats an event after an error.
func isTransient(err error) bool {
	_, pending := errors.AsType[*sender.PendingError](err)
	return pending || sender.IsRetryable(err) || errors.Is(err, sender.ErrClosed) || errors.Is(err, errKilled)
}

func (p *partner) process(index int) *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.processes[index]
}

func (p *partner) count(change int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open += change
}

// isDone reports whether every event is acknowledged or given up.
func (p *partner) isDone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, process := range p.processes {
		if process.isAlive() && process.sender.Stats().Unreported > 0 {
			return false
		}
	}
	return p.open == 0
}

// send reports an event once.
func (p *process) send(ctx context.Context, r *Report, wait bool) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	sessionID := ""
	if r.Named {
		sessionID = r.Session.ID
	}
	id := identity(sessionID)
	var receipt sender.Receipt
	switch r.Kind {
	case Begin, Correct, Impersonate:
		if r.Kind == Impersonate {
			id.EndUserClientID = somebodyElse
		}
		policy := p.story.Policies[p.plan.Policy]
		receipt, err = p.sender.Start(ctx, conversation.Start{Identity: id, Policy: policy, At: r.At})
	case Write:
		receipt, err = p.sender.Message(ctx, id, conversation.Message{At: r.At})
	case HangUp:
		closing := conversation.Close{By: r.By, At: r.At}
		if !wait {
			receipt, err = p.sender.CloseConversation(ctx, id, closing)
			break
		}
		outcome, err := p.sender.CloseAndWait(ctx, id, closing)
		_, unavailable := errors.AsType[serviceerror.ServiceError](err)
		switch {
		case err == nil:
			r.Outcome = &outcome
		case !unavailable && !isTransient(err):
			r.Refused = err
		}
		return err
	case statusEntry:
		receipt, err = p.sender.SessionStatus(ctx, identity(""), r.Status)
	}
	r.Receipt = receipt
	return err
}

// end ends a process and begins it again some time later.
func (p *partner) end(index int, gracefully bool) {
	old := p.processes[index]
	if old.ending {
		return
	}
	old.ending = true
	p.history.Deaths = append(p.history.Deaths, Death{At: time.Now(), Sender: index, Graceful: gracefully})
	ctx, cancel := context.WithCancel(context.Background())
	if gracefully {
		cancel()
		ctx, cancel = context.WithTimeout(context.Background(), 20*time.Second)
	} else {
		cancel()
		old.kill()
	}
	p.reports.Go(func() {
		defer cancel()
		_ = old.sender.Close(ctx)
		old.kill()
	})
	p.after(upTo(p.chance(ofRestart, len(p.history.Deaths)), time.Minute), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.processes[index] = p.newProcess(index, old.plan, old.life+1)
	})
}

// stop ends everything that still runs.
func (p *partner) stop() {
	p.cancel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, process := range append(p.processes, p.operator) {
		process.kill()
		_ = process.sender.Close(ctx)
	}
	p.reports.Wait()
}
