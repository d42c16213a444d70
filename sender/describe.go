package sender

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
)

// Description is the status of a conversation, with what only Temporal knows of its
// workflow.
type Description struct {
	// Status is the answer of the workflow. Without an answer it has only the
	// identifiers and the phase that Temporal has recorded.
	conversation.Status
	// Execution is the status of the workflow in Temporal: "Running", "Completed",
	// "Failed" (it was Blocked for too long), "Canceled", "Terminated" or "TimedOut".
	Execution string `json:"execution"`
	// Retrying is nil unless the pending call has failed and is tried again.
	Retrying *Retrying `json:"retrying,omitempty"`
	// Failure is nil unless the workflow failed and Temporal says why.
	Failure *Failure `json:"failure,omitempty"`
	// NoAnswer is why the workflow did not answer: no worker runs, or the workflow
	// failed on an input that cannot be read. Nil if it answered.
	NoAnswer error `json:"-"`

	runID string
}

// Failure is why a workflow failed.
type Failure struct {
	// Reason is an ErrorReason, or the worker's own name, such as "INVALID_REQUEST".
	Reason string `json:"reason"`
	// Message has at most 1,000 bytes.
	Message string `json:"message,omitempty"`
}

// Retrying is a call to Salesforce that has failed and is tried again.
type Retrying struct {
	Operation conversation.Operation `json:"operation"`
	// Attempt is the number of the attempt that runs or is the next one, by Temporal's
	// count: attempts that only waited for the org are included.
	Attempt int `json:"attempt"`
	// LastReason is why the last attempt failed: an ErrorReason, or the worker's own
	// name.
	LastReason string `json:"lastReason,omitempty"`
	// WaitsForOrg: the last attempt has sent nothing, because the org lets no call go.
	// LastReason says why, such as "WAITS_FOR_ORG_PAUSED".
	WaitsForOrg bool `json:"waitsForOrg,omitempty"`
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
// [*serviceerror.NotFound] when there is none. If only the workflow does not answer,
// there is no error: see Description.NoAnswer.
func (s *Sender) Describe(ctx context.Context, id conversation.Identity) (Description, error) {
	if err := id.ValidateKey(); err != nil {
		return Description{}, fmt.Errorf("status: %w", err)
	}
	described, err := s.temporal.DescribeWorkflowExecution(ctx, id.WorkflowID(), "")
	if err != nil {
		return Description{}, fmt.Errorf("status %s: %w", id.WorkflowID(), err)
	}
	info := described.GetWorkflowExecutionInfo()
	d := Description{Execution: info.GetStatus().String()}
	if info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_FAILED {
		d.Failure = s.failureOf(ctx, info.GetExecution())
	}
	// The same run answers, also if another one has begun in the meantime.
	d.runID = info.GetExecution().GetRunId()
	d.Status, d.NoAnswer = s.statusOf(ctx, id, d.runID)
	if d.NoAnswer != nil {
		d.Status = recordedStatus(id, info.GetSearchAttributes())
	}
	for _, pending := range described.GetPendingActivities() {
		// A call that is cancelled is not tried again.
		if pending.GetState() != enumspb.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED && pending.GetLastFailure() != nil {
			d.Retrying = retrying(pending, d.Failing)
		}
	}
	if d.IsOver() {
		// The workflow has stopped, so these times will not come true.
		d.InactivateAt, d.EndAt, d.LeaseUntil, d.BlockedUntil = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		d.Calling = ""
	}
	return d, nil
}

// recordedStatus is what Temporal has recorded of a status.
func recordedStatus(id conversation.Identity, attributes *commonpb.SearchAttributes) conversation.Status {
	status := conversation.Status{OrgID: id.OrgID, ConversationIdentifier: id.ConversationIdentifier}
	phase := attributes.GetIndexedFields()[conversation.SessionPhaseKey.GetName()]
	// Without a phase, the first workflow task has not run yet.
	_ = converter.GetDefaultDataConverter().FromPayload(phase, &status.Phase)
	return status
}

// failureOf is why a run failed, nil if that cannot be read.
func (s *Sender) failureOf(ctx context.Context, run *commonpb.WorkflowExecution) *Failure {
	err := s.temporal.GetWorkflow(ctx, run.GetWorkflowId(), run.GetRunId()).Get(ctx, nil)
	failed, ok := errors.AsType[*temporal.ApplicationError](err)
	if !ok {
		return nil
	}
	return &Failure{Reason: cut(failed.Type(), maxReason), Message: cut(failed.Message(), maxFailure)}
}

func retrying(pending *workflowpb.PendingActivityInfo, failing *conversation.CallFailing) *Retrying {
	r := &Retrying{
		Operation: conversation.Operation(pending.GetActivityType().GetName()), Attempt: int(pending.GetAttempt()),
		LastReason: reasonOf(pending.GetLastFailure()),
	}
	r.WaitsForOrg = strings.HasPrefix(r.LastReason, conversation.ErrorWaitsForOrg)
	at := pending.GetNextAttemptScheduleTime()
	if at != nil && pending.GetState() == enumspb.PENDING_ACTIVITY_STATE_SCHEDULED {
		r.NextTryAt = at.AsTime()
	}
	if failing != nil {
		r.Since = failing.Since
	}
	return r
}

// These limit what is shown of a failure, in bytes.
const maxReason, maxFailure = 240, 1000

// reasonOf is the error type of a failure.
func reasonOf(failure *failurepb.Failure) string {
	if failure.GetTimeoutFailureInfo() != nil {
		return "TIMEOUT"
	}
	return cut(failure.GetApplicationFailureInfo().GetType(), maxReason)
}

func cut(text string, limit int) string { return strings.ToValidUTF8(text[:min(limit, len(text))], "") }
