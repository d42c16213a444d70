package simulation

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/gate"
)

// errUnavailable is the error of a request that cannot reach Temporal. A server that
// reaches its database no longer, or not yet, answers with errStarting: see
// [sender.IsRetryable].
var (
	errUnavailable = serviceerror.NewUnavailable("no answer")
	errStarting    = serviceerror.NewNamespaceNotFound("default")
)

// server is the stand-in for Temporal with its workers. It knows one workflow id.
type server struct {
	world *world
	begin func(Beginning) Machine
	// runs are all runs, the current one last.
	runs []*run
	// tasks and calls count, for chance.
	tasks, calls int
}

// run is one run of the workflow.
type run struct {
	*server
	id      string
	machine Machine
	// pending is what the next workflow task gets, scheduled whether there will be one.
	pending   Task
	scheduled bool
	suggested bool
	timer     time.Time
	activity  *activity
	// waiting are the updates that have not returned.
	waiting  map[string]func(any, error)
	closed   *Closed
	closedAt time.Time
	record   *RunRecord
}

// activity is one call to Salesforce with all its attempts.
type activity struct {
	Call
	id      int
	attempt int32
	// known is how many results the workflow knew when it decided to call.
	known int
	// scheduled is by Temporal's clock, scheduledAt by the world's.
	scheduled, scheduledAt time.Time
	running                bool
	cancelRequested        bool
	progress               activities.Progress
	// record is the record of the last attempt.
	record *CallRecord
	done   bool
}

// now is the time by Temporal's clock.
func (s *server) now() time.Time { return time.Now().Add(s.world.story.ServerClock) }

func (s *server) last() *run {
	if len(s.runs) == 0 {
		return nil
	}
	return s.runs[len(s.runs)-1]
}

// open is the run that is running, nil if none is.
func (s *server) open() *run {
	if last := s.last(); last != nil && last.closed == nil {
		return last
	}
	return nil
}

// isAtRest reports whether nothing happens without a new event.
func (s *server) isAtRest() bool {
	r := s.open()
	return r == nil || !r.scheduled && r.timer.IsZero() && r.activity == nil
}

func (s *server) start(start conversation.Start, carried []byte) *run {
	r := &run{server: s, id: fmt.Sprint("run-", len(s.runs)+1), waiting: map[string]func(any, error){}}
	r.machine = s.begin(Beginning{Start: start, Carried: carried, Now: s.now()})
	s.runs = append(s.runs, r)
	r.record = &RunRecord{ID: r.id, Start: start, Carried: carried, Began: s.now()}
	s.world.history.Runs = append(s.world.history.Runs, r.record)
	r.schedule()
	return r
}

// signal delivers a signal to the open run.
func (s *server) signal(name string, payload any) error {
	r := s.open()
	if r == nil {
		return serviceerror.NewNotFound("no open workflow")
	}
	s.world.history.count("signal", name)
	s.world.history.deliver(name, payload)
	r.pending.Signals = append(r.pending.Signals, Signal{Name: name, Payload: payload})
	r.schedule()
	return nil
}

// startOrUse applies the policies for workflow ids: it returns the open run, or starts
// one if the reuse policy allows it after the last one.
func (s *server) startOrUse(start conversation.Start, reuse enumspb.WorkflowIdReusePolicy) (*run, error) {
	if r := s.open(); r != nil {
		return r, nil
	}
	last := s.last()
	failedOnly := reuse == enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
	switch {
	case last == nil, reuse == enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, failedOnly && last.closed.Outcome == nil:
	default:
		return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("it has ended", "", last.id)
	}
	return s.start(start, nil), nil
}

// update delivers an update to a run. reply is called when it returns.
func (r *run) update(u Update, reply func(any, error)) {
	if _, repeated := r.waiting[u.ID]; !repeated {
		r.pending.Updates = append(r.pending.Updates, u)
	}
	r.world.history.deliver(conversation.UpdateClose, u.Close)
	r.waiting[u.ID] = reply
	r.schedule()
}

func (r *run) cancel() {
	r.pending.Canceled = true
	r.schedule()
}

// whenWorking does something as soon as a worker runs.
func (s *server) whenWorking(do func()) {
	s.tasks++
	delay := time.Duration(0)
	if !s.world.story.Calm {
		delay = upTo(s.world.chance(ofTask, s.tasks), 20*time.Millisecond)
	}
	s.world.after(delay, func() {
		if s.world.has(WorkerDown) {
			s.world.after(time.Second, func() { s.whenWorking(do) })
			return
		}
		do()
	})
}

// schedule schedules a workflow task. Everything that arrives before it runs is in it.
func (r *run) schedule() {
	if r.scheduled || r.closed != nil {
		return
	}
	r.scheduled = true
	r.whenWorking(r.task)
}

func (r *run) task() {
	task := r.pending
	r.pending, r.scheduled = Task{}, false
	task.Now, task.HistoryTooLong = r.now(), r.suggested
	r.record.Tasks = append(r.record.Tasks, task)
	c := r.machine.Task(task)
	if c.CancelCall && r.activity != nil {
		r.cancelCall()
	}
	if c.Call != nil {
		r.startCall(*c.Call)
	}
	for _, u := range c.Resolved {
		r.resolve(u.ID, u.Outcome, u.Err)
	}
	r.setTimer(c.Timer)
	r.world.history.phase(r.id, r.machine.Status())
	if c.Closed != nil {
		r.close(c.Closed)
	}
}

func (r *run) resolve(id string, outcome *conversation.Outcome, err error) {
	reply := r.waiting[id]
	delete(r.waiting, id)
	if reply == nil {
		return
	}
	if failed, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		r.world.history.count("update", failed.Type())
	}
	if err != nil {
		reply(nil, err)
		return
	}
	r.world.history.count("update", "outcome "+string(outcome.Why))
	reply(*outcome, nil)
}

func (r *run) setTimer(at time.Time) {
	if at.Equal(r.timer) {
		return
	}
	if !at.IsZero() && at.Before(r.timer) {
		r.world.history.TimersReplaced++
	}
	r.timer = at
	if at.IsZero() {
		return
	}
	r.world.at(at.Add(-r.world.story.ServerClock), func() {
		if r.closed == nil && r.timer.Equal(at) {
			r.timer = time.Time{}
			r.schedule()
		}
	})
}

func (r *run) close(c *Closed) {
	r.closed, r.closedAt, r.timer = c, r.now(), time.Time{}
	for _, id := range slices.Sorted(maps.Keys(r.waiting)) {
		r.resolve(id, nil, serviceerror.NewNotFound("the workflow has completed"))
	}
	r.record.Closed, r.record.At = c, time.Now()
	if c.Next == nil {
		r.world.history.Phases = append(r.world.history.Phases, PhaseRecord{At: time.Now(), Run: r.id})
		return
	}
	next := r.start(c.Next.Start, c.Next.Carried)
	// Signals and updates that the run did not see move on to the next one.
	next.pending.Signals, next.pending.Updates = r.pending.Signals, r.pending.Updates
}

// startCall schedules the activity of a call.
func (r *run) startCall(c Call) {
	r.calls++
	a := &activity{Call: c, id: r.calls, scheduled: r.now(), scheduledAt: time.Now(), known: len(r.world.history.Results)}
	r.activity = a
	r.whenWorking(func() { r.attempt(a) })
}

// cancelCall requests the cancellation of the call in flight. A call between two
// attempts is over at once.
func (r *run) cancelCall() {
	a := r.activity
	a.cancelRequested = true
	if !a.running {
		r.complete(a, Result{Err: temporal.NewCanceledError()})
	}
}

// What coverage calls an attempt whose worker was killed, or could not reach Temporal.
const (
	killedInACall = "worker killed in a call"
	cutOffInACall = "worker cut off in a call"
)

// attempt makes one attempt of a call.
func (r *run) attempt(a *activity) {
	if a.done {
		return
	}
	a.attempt++
	a.running = true
	began := r.now()
	pass, wait := r.world.org.ask(a)
	if wait != nil {
		r.waits(a, wait)
		return
	}
	l := &loss{run: r, activity: a, attempt: a.attempt}
	a.record = r.world.salesforce.call(a, r.id, func(answer conversation.Answer, err error) {
		if l.ended {
			return
		}
		l.ended = true
		if pass != nil {
			wait = pass.Done(activities.GateOutcome(err))
		}
		l.whenConnected(func() { r.answered(a, answer, err, began, wait) })
	})
	l.interrupt = func() {
		if l.ended {
			return
		}
		l.ended, a.record.Answered = true, time.Now()
		if pass != nil {
			pass.Return()
		}
		l.whenConnected(func() { r.answered(a, conversation.Answer{}, activities.ErrInterrupted, began, nil) })
	}
	if !r.world.story.Calm {
		l.play()
	}
}

// loss is what happens to an attempt whose worker is killed, or cannot reach Temporal.
type loss struct {
	run      *run
	activity *activity
	attempt  int32
	// ended: the request to Salesforce has ended.
	ended     bool
	interrupt func()
	// killed and cutOff say what has happened to the worker.
	killed, cutOff bool
	report         func()
}

// isOver reports whether Temporal has a result of the attempt, or has given it up.
func (l *loss) isOver() bool {
	return l.activity.done || !l.activity.running || l.activity.attempt != l.attempt
}

// whenConnected reports a result to Temporal, if the worker can do that before Temporal gives
// the attempt up.
func (l *loss) whenConnected(report func()) {
	switch {
	case l.killed || l.isOver():
	case l.cutOff:
		l.report = report
	default:
		report()
	}
}

// play plays the faults that begin while the attempt may last. The worker's last heartbeat
// was sent before. A worker that is cut off ends its request in time.
func (l *loss) play() {
	w, began := l.run.world, l.run.world.since()
	for _, f := range w.story.Faults {
		after := f.From - began
		if f.Kind != WorkerDown && f.Kind != WorkerCutOff || after <= 0 || after >= activities.AttemptTimeout {
			continue
		}
		heartbeat := after.Truncate(activities.HeartbeatInterval)
		givenUp := heartbeat + activities.HeartbeatTimeout
		w.after(after, func() {
			if l.isOver() || l.killed {
				return
			}
			if f.Kind == WorkerDown {
				l.killed = true
				if !l.ended {
					l.ended, l.activity.record.Answered = true, time.Now()
				}
			}
			l.cutOff = true
			w.after(givenUp-activities.ClaimMargin-after, func() {
				if l.cutOff {
					l.interrupt()
				}
			})
			w.after(givenUp-after, l.giveUp)
			w.after(f.To-f.From, l.reconnect)
		})
	}
}

// giveUp is Temporal's heartbeat timeout.
func (l *loss) giveUp() {
	if !l.cutOff && !l.killed || l.isOver() {
		return
	}
	if l.killed {
		l.run.world.history.count("fault", killedInACall)
	} else {
		l.run.world.history.count("fault", cutOffInACall)
	}
	l.run.retry(l.activity, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_HEARTBEAT, nil), 0)
}

func (l *loss) reconnect() {
	l.cutOff = false
	if report := l.report; report != nil && !l.isOver() && !l.killed {
		report()
	}
}

// waits is an attempt that only waits for the org.
func (r *run) waits(a *activity, wait *gate.Wait) {
	r.tasks++
	r.world.history.count("wait", string(wait.State))
	r.world.after(upTo(r.world.chance(ofTask, r.tasks), 20*time.Millisecond), func() {
		answer := conversation.Answer{Operation: a.Operation, By: a.By, Attempt: a.progress.Attempt(a.attempt), At: r.now()}
		err := a.progress.Wait(answer, a.OrgID, wait)
		if failed, _ := errors.AsType[*temporal.ApplicationError](err); failed.NonRetryable() {
			r.complete(a, Result{Err: err})
			return
		}
		r.retry(a, err, wait.Delay)
	})
}

// answered is the rest of an attempt, as package activities does it.
func (r *run) answered(a *activity, answer conversation.Answer, cause error, began time.Time, wait *gate.Wait) {
	answer.Operation, answer.By, answer.At = a.Operation, a.By, r.now()
	answer.Attempt = a.progress.Attempt(a.attempt)
	var decision activities.Decision
	var err error
	if cause != nil {
		decision, err = a.progress.Judge(&answer, cause, began.Sub(a.KnownSince), wait)
	}
	a.record.Result = Result{Answer: answer, Err: err}
	if err == nil {
		r.complete(a, a.record.Result)
		return
	}
	failed, _ := errors.AsType[*temporal.ApplicationError](err)
	if a.progress.KeepsFailing(answer, decision) && !a.cancelRequested {
		a.progress.Signalled = r.closed == nil && r.signal(conversation.SignalCallFailing, conversation.CallFailing{
			ActivityID: fmt.Sprint(a.id), Since: a.progress.FailingSince, Attempts: answer.Attempt, Answer: answer,
		}) == nil
	}
	if failed.NonRetryable() {
		r.complete(a, Result{Err: err})
		return
	}
	r.retry(a, err, failed.NextRetryDelay())
}

// retry makes the next attempt after the delay that Temporal's retry policy says, or
// the one that the failed attempt asked for.
func (r *run) retry(a *activity, err error, delay time.Duration) {
	a.running = false
	if delay == 0 {
		delay = min(activities.LongestRetry, activities.FirstRetry<<min(a.attempt-1, 6))
	}
	if a.cancelRequested {
		r.complete(a, Result{Err: err})
		return
	}
	r.world.after(delay, func() { r.whenWorking(func() { r.attempt(a) }) })
}

func (r *run) complete(a *activity, result Result) {
	a.done, a.running = true, false
	r.world.history.Results = append(r.world.history.Results, ResultRecord{
		At: time.Now(), Scheduled: a.scheduledAt, Call: a.Call, Result: result,
	})
	r.activity = nil
	r.pending.Result = &result
	r.schedule()
}
