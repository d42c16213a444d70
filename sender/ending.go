package sender

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"sessionkeeper/conversation"
)

// ending is how a conversation's last run ended. It is empty for one that is no
// longer known.
type ending struct {
	// outcome is absent when the run failed, was cancelled or terminated.
	outcome *conversation.Outcome
	at      time.Time
}

// covers reports whether an event belongs to what has ended. Without an outcome
// everything up to the run's end does. An event without a time is of now.
func (l ending) covers(e event) bool {
	until := l.at
	if l.outcome != nil {
		if conversation.SameSession(e.endOf, l.outcome.SessionID) {
			return true
		}
		until = l.outcome.EndsEventsUntil
	}
	return !e.start.At.IsZero() && !e.start.At.After(until)
}

// answers reports whether the outcome answers a caller who waits for a close.
// One without a time asks about the session it names, or the last one.
func (l ending) answers(e event) bool {
	if l.outcome == nil {
		return false
	}
	sameOrUnnamed := e.endOf == "" || l.outcome.SessionID == ""
	return l.covers(e) || e.start.At.IsZero() && sameOrUnnamed
}

// ending looks up how a run ended, the last one when runID is empty.
func (s *Sender) ending(ctx context.Context, workflowID, runID string) (ending, error) {
	described, err := s.temporal.DescribeWorkflowExecution(ctx, workflowID, runID)
	if notFound(err) {
		return ending{}, nil
	}
	if err != nil {
		return ending{}, fmt.Errorf("look up the last run: %w", err)
	}
	info := described.GetWorkflowExecutionInfo()
	if info.GetCloseTime() == nil {
		return ending{}, nil
	}
	last := ending{at: info.GetCloseTime().AsTime()}
	if info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		last.outcome = new(conversation.Outcome)
		if err := s.temporal.GetWorkflow(ctx, workflowID, info.GetExecution().GetRunId()).Get(ctx, last.outcome); err != nil {
			return ending{}, fmt.Errorf("read the last run's outcome: %w", err)
		}
	}
	return last, nil
}

// alreadyRan tells the run id of the last run, when the server refused to start
// another one.
func alreadyRan(err error) (runID string, ended bool) {
	if refused, ok := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); ok {
		return refused.RunId, true
	}
	return "", false
}

func notFound(err error) bool {
	var missing *serviceerror.NotFound
	return errors.As(err, &missing)
}
