package sender

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"sessionkeeper/conversation"
)

// lastRun is how a conversation's last run ended. It is empty when Temporal no
// longer retains it.
type lastRun struct {
	// outcome is absent when the run failed, was cancelled or terminated.
	outcome *conversation.Outcome
	at      time.Time
}

// includes reports whether an event belongs to the run. Every event of the
// session that has ended does, whatever its time is. Without an outcome, every
// event up to the run's end does. An event without a time happened now.
func (l lastRun) includes(e event) bool {
	until := l.at
	if l.outcome != nil {
		if conversation.SameSession(e.start.SessionID, l.outcome.SessionID) {
			return true
		}
		until = l.outcome.EndsEventsUntil
	}
	return !e.start.At.IsZero() && !e.start.At.After(until)
}

// nextStart is the input of the workflow that an event begins after this run. It
// says what is known of the session before. A start that was made from another
// event keeps the policy.
func (l lastRun) nextStart(start conversation.Start) conversation.Start {
	switch {
	case l.outcome != nil:
		start.Previous = &conversation.PreviousSession{
			SessionID: l.outcome.SessionID, EndsEventsUntil: l.outcome.EndsEventsUntil,
		}
		if start.Provisional && l.outcome.Policy.InactivateAfter != nil {
			start.Policy = l.outcome.Policy
		}
	case !l.at.IsZero():
		start.Previous = &conversation.PreviousSession{EndsEventsUntil: l.at}
	}
	return start
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
	return l.includes(e) || e.start.At.IsZero() && sameOrUnnamed
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
	last := lastRun{at: info.GetCloseTime().AsTime()}
	if info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		last.outcome = new(conversation.Outcome)
		if err := s.temporal.GetWorkflow(ctx, workflowID, info.GetExecution().GetRunId()).Get(ctx, last.outcome); err != nil {
			return lastRun{}, fmt.Errorf("read the last run's outcome: %w", err)
		}
	}
	return last, nil
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
