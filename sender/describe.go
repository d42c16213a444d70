package sender

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"

	"sessionkeeper/conversation"
)

// Description is the status of a conversation, with what only Temporal knows of its
// workflow.
type Description struct {
	conversation.Status
	// Execution is the status of the workflow in Temporal: "Running", "Completed",
	// "Failed" (it was Blocked for too long), "Canceled", "Terminated" or "TimedOut".
	Execution string `json:"execution"`
	// Retrying is nil unless the pending call has failed and is tried again.
	Retrying *Retrying `json:"retrying,omitempty"`
}

// Retrying is a call to Salesforce that has failed and is tried again.
type Retrying struct {
	Operation conversation.Operation `json:"operation"`
	// Attempt is the number of the attempt that runs or is the next one.
	Attempt int `json:"attempt"`
	// LastReason is why the last attempt failed: an ErrorReason, or the worker's own
	// name.
	LastReason string `json:"lastReason,omitempty"`
	// NextTryAt is zero while an attempt runs.
	NextTryAt time.Time `json:"nextTryAt,omitzero"`
	// Since is when the first attempt failed, if the workflow knows it: from the third
	// failed attempt on.
	Since time.Time `json:"since,omitzero"`
}

// IsOver reports whether the workflow stopped before the session had ended: it gave
// up, or an operator cancelled or terminated it. See [Sender.BeginAgain].
func (d Description) IsOver() bool {
	return slices.Contains([]string{"Failed", "Canceled", "Terminated", "TimedOut"}, d.Execution)
}

// Describe returns the status of a conversation and what Temporal knows of its
// workflow, also of one that has ended, as long as Temporal retains it. The error is a
// [*serviceerror.NotFound] when there is none.
func (s *Sender) Describe(ctx context.Context, id conversation.Identity) (Description, error) {
	status, err := s.Status(ctx, id)
	if err != nil {
		return Description{}, err
	}
	described, err := s.temporal.DescribeWorkflowExecution(ctx, id.WorkflowID(), "")
	if err != nil {
		return Description{}, fmt.Errorf("describe %s: %w", id.WorkflowID(), err)
	}
	d := Description{Status: status, Execution: described.GetWorkflowExecutionInfo().GetStatus().String()}
	for _, pending := range described.GetPendingActivities() {
		d.Retrying = retrying(pending, status)
	}
	if d.IsOver() {
		// The workflow has stopped, so these times will not come true.
		d.InactivateAt, d.EndAt, d.LeaseUntil, d.BlockedUntil = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		d.Calling = ""
	}
	return d, nil
}

func retrying(pending *workflowpb.PendingActivityInfo, status conversation.Status) *Retrying {
	if pending.GetLastFailure() == nil {
		return nil
	}
	r := &Retrying{
		Operation: conversation.Operation(pending.GetActivityType().GetName()), Attempt: int(pending.GetAttempt()),
		LastReason: reasonOf(pending.GetLastFailure()),
	}
	at := pending.GetNextAttemptScheduleTime()
	if at != nil && pending.GetState() == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED {
		r.NextTryAt = at.AsTime()
	}
	if status.Failing != nil {
		r.Since = status.Failing.Since
	}
	return r
}

// reasonOf is the error type of a failure, at most 240 bytes of it.
func reasonOf(failure *failurepb.Failure) string {
	reason := failure.GetApplicationFailureInfo().GetType()
	if failure.GetTimeoutFailureInfo() != nil {
		reason = "TIMEOUT"
	}
	return strings.ToValidUTF8(reason[:min(240, len(reason))], "")
}

var errStillRuns = errors.New("the conversation has not stopped early")

// BeginAgain begins a conversation again whose workflow stopped before the session had
// ended: it gave up, or an operator cancelled or terminated it. The new workflow has
// the identity of the old one's input, and the session and the policy that the old one
// knew last. If the old one was closing the session, the new one closes it.
func (s *Sender) BeginAgain(ctx context.Context, id conversation.Identity) (Receipt, error) {
	old, err := s.Describe(ctx, id)
	if err != nil {
		return "", fmt.Errorf("begin again: %w", err)
	}
	if !old.IsOver() {
		return "", fmt.Errorf("begin again: %w", errStillRuns)
	}
	start, err := s.inputOf(ctx, id.WorkflowID())
	if err != nil {
		return "", fmt.Errorf("begin again: %w", err)
	}
	start.SessionID = cmp.Or(old.SessionID, start.SessionID)
	start.Policy, start.At, start.Previous = old.Policy, time.Time{}, nil
	if old.Closing == nil {
		receipt, _, err := s.start(ctx, start)
		return receipt, err
	}
	closing := conversation.Close{By: old.Closing.By, SessionID: cmp.Or(old.Closing.SessionID, start.SessionID)}
	receipt, _, err := s.signal(ctx, event{start: start, signal: conversation.SignalClose, payload: closing})
	return receipt, err
}

// inputOf reads the input of the last run of a workflow.
func (s *Sender) inputOf(ctx context.Context, workflowID string) (start conversation.Start, err error) {
	history := s.temporal.GetWorkflowHistory(ctx, workflowID, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	first, err := history.Next()
	if err != nil {
		return start, fmt.Errorf("read the history: %w", err)
	}
	input := first.GetWorkflowExecutionStartedEventAttributes().GetInput()
	if err := client.NewValue(input).Get(&start); err != nil {
		return start, fmt.Errorf("read the input: %w", err)
	}
	return start, nil
}
