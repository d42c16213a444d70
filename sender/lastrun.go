package sender

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/seal"
)

// lastRun is how a conversation's last run ended. It is empty when Temporal no
// longer retains it.
type lastRun struct {
	// outcome is absent when the run failed or was terminated, or was cancelled before
	// the session had ended.
	outcome *conversation.Outcome
	at      time.Time
	// completed: the run was neither failed, cancelled nor terminated.
	completed bool
}

// includes reports whether an event belongs to the run. Every event of the
// session that has ended does, whatever its time is. Without an outcome, every
// event up to the run's end does. An event without a time happened now.
func (l lastRun) includes(e event) bool {
	until := l.at
	if o := l.outcome; o != nil {
		switch {
		case o.MayBeInactive() && l.isStillToEnd(e):
			return false
		case !o.MayBeInactive() && conversation.SameSession(e.start.SessionID, o.SessionID):
			return true
		}
		until = l.belongsUntil(e)
	}
	return !e.untimed && !e.start.At.After(until)
}

// isStillToEnd reports whether an event is a close of the run's session, which may be
// Inactive and not over.
func (l lastRun) isStillToEnd(e event) bool {
	if e.signal != conversation.SignalClose {
		return false
	}
	unnamed := e.start.SessionID == "" && (e.untimed || !e.start.At.Before(l.outcome.StartedAt))
	return unnamed || conversation.SameSession(e.start.SessionID, l.outcome.SessionID)
}

// belongsUntil is the latest time of an event that belongs to the run or to an earlier
// one. One session follows the other, so an event that names another session belongs to
// an earlier one only if it happened before the session of the run began. The clocks may
// differ. If the session was over sooner than that, its end counts. A status Ended of
// another session is ignored up to the end, because a new run could do nothing with it. A
// close that names no session, a moment after the end, is the same close again.
func (l lastRun) belongsUntil(e event) time.Time {
	o := l.outcome
	began := o.StartedAt.Add(conversation.ClockTolerance)
	bothNamed := e.start.SessionID != "" && o.SessionID != ""
	switch {
	case o.StartedAt.IsZero(), bothNamed && conversation.SameSession(e.start.SessionID, o.SessionID):
		return o.EndsEventsUntil
	case bothNamed && e.signal == conversation.SignalSessionStatus:
		return latest(o.EndsEventsUntil, began)
	case bothNamed && endOf(o).Before(began):
		return endOf(o)
	case bothNamed:
		return began
	case e.signal == conversation.SignalClose:
		return o.EndsEventsUntil.Add(conversation.ClockTolerance)
	default:
		return o.EndsEventsUntil
	}
}

// endOf is when the session was over, as far as known. If nobody ended it, EndsEventsUntil
// is only its last event.
func endOf(o *conversation.Outcome) time.Time {
	if o.Why == conversation.Idle || o.Why == conversation.AlreadyOver {
		return latest(o.EndsEventsUntil, o.At)
	}
	return o.EndsEventsUntil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// nextStart is the input of the workflow that an event begins after this run. It
// says what is known of the session before. A start that was made from another
// event keeps the policy.
func (l lastRun) nextStart(e event) conversation.Start {
	start, o := e.start, l.outcome
	if o == nil {
		if !l.at.IsZero() {
			start.Previous = &conversation.PreviousSession{EndsEventsUntil: l.at}
		}
		return start
	}
	if start.Provisional && o.Policy.InactivateAfter != nil {
		start.Policy = o.Policy
	}
	goesOn := l.isStillToEnd(e) || conversation.SameSession(start.SessionID, o.SessionID)
	switch {
	case o.MayBeInactive() && goesOn:
		start.SessionID, start.At = o.SessionID, o.StartedAt // the session goes on
	case o.MayBeInactive() && start.SessionID == "":
		start.Previous = &conversation.PreviousSession{EndsEventsUntil: o.EndsEventsUntil}
	default:
		start.Previous = &conversation.PreviousSession{SessionID: o.SessionID, EndsEventsUntil: o.EndsEventsUntil}
	}
	return start
}

// reusePolicy is the policy with which an event begins a run after this one. With
// FAILED_ONLY the server refuses if another run has completed meanwhile. Then the sender
// looks that one up.
func (l lastRun) reusePolicy() enumspb.WorkflowIdReusePolicy {
	if l.at.IsZero() || l.completed {
		return enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	}
	return enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY
}

// isAlive reports whether an entry of Salesforce says that the session of the run
// is alive, although the worker's End of it has succeeded before.
func (l lastRun) isAlive(status conversation.SessionStatus) bool {
	if l.outcome == nil || !status.IsAlive() || !conversation.SameSession(status.SessionID, l.outcome.SessionID) {
		return false
	}
	at := cmp.Or(status.At, l.outcome.At.Add(1))
	return l.outcome.EndedByWorker() && at.After(l.outcome.At)
}

// answers reports whether the outcome answers a caller who waits for a close. A
// close without a time refers to the session that it names, or else to the last
// session.
func (l lastRun) answers(e event) bool {
	if l.outcome == nil {
		return false
	}
	sameOrUnnamed := e.start.SessionID == "" || l.outcome.SessionID == ""
	return l.includes(e) || e.untimed && sameOrUnnamed && !l.outcome.MayBeInactive()
}

// lastRun looks up how a run ended, the last one when runID is empty.
func (s *Sender) lastRun(ctx context.Context, workflowID, runID string) (lastRun, error) {
	described, err := s.temporal.DescribeWorkflowExecution(ctx, workflowID, runID)
	if notFound(err) {
		return lastRun{}, nil
	}
	if err != nil {
		return lastRun{}, fmt.Errorf("look up the last run: %w", err)
	}
	info := described.GetWorkflowExecutionInfo()
	if info.GetCloseTime() == nil {
		return lastRun{}, nil
	}
	last := lastRun{
		at:        info.GetCloseTime().AsTime(),
		completed: info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED,
	}
	switch info.GetStatus() {
	case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		last.outcome, err = s.outcomeOf(ctx, workflowID, info.GetExecution().GetRunId())
	}
	return last, err
}

// outcomeOf reads the outcome of a run that was completed or cancelled, nil if the
// session had not ended. The error is a [seal.ErrKeyMissing] until its key is there.
func (s *Sender) outcomeOf(ctx context.Context, workflowID, runID string) (*conversation.Outcome, error) {
	var raw converter.RawValue
	err := s.temporal.GetWorkflow(ctx, workflowID, runID).Get(ctx, &raw)
	canceled, isCanceled := errors.AsType[*temporal.CanceledError](err)
	switch {
	case isCanceled && canceled.HasDetails():
		err = canceled.Details(&raw)
	case isCanceled:
		return nil, nil
	}
	var outcome conversation.Outcome
	if err == nil {
		err = seal.Read(s.options.DataConverter, raw.Payload(), &outcome)
	}
	if err != nil {
		return nil, fmt.Errorf("read the last run's outcome: %w", err)
	}
	return &outcome, nil
}

// lastRunID returns the id of the last run when the server refused to start
// another one.
func lastRunID(err error) (runID string, exists bool) {
	if refused, ok := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); ok {
		return refused.RunId, true
	}
	return "", false
}

func notFound(err error) bool {
	_, missing := errors.AsType[*serviceerror.NotFound](err)
	return missing
}
