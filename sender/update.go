package sender

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/seal"
)

// CloseAndWait closes like [Sender.CloseConversation] and waits for the outcome as
// long as ctx allows. When an operator is needed, the error is a
// [*temporal.ApplicationError] whose type is the ErrorReason; the close
// stays requested. If the conversation had ended, its outcome is returned. If its
// workflow had failed, a new workflow closes it. With only the two
// identifiers that name the conversation in id, the error is a
// [*serviceerror.NotFound] when there is no such conversation.
func (s *Sender) CloseAndWait(
	ctx context.Context, id conversation.Identity, c conversation.Close,
) (conversation.Outcome, error) {
	e, err := s.closing(id, c)
	if err != nil {
		return conversation.Outcome{}, err
	}
	end := conversation.EventTime(c.At, time.Now())
	if err := s.flush(ctx, e.start.Identity); err != nil {
		return conversation.Outcome{}, fmt.Errorf("close: %w", err)
	}
	update := s.updateOrStart
	if keyOnly(id) {
		update = s.updateKnown
	}
	updateID := uuid.NewString()
	outcome, err := update(ctx, e, updateID)
	for again := 0; isOfNextRun(err) && again < maxNextRuns; again++ {
		outcome, err = update(ctx, e, updateID)
	}
	if err != nil {
		return conversation.Outcome{}, fmt.Errorf("close %s: %w", e.start.WorkflowID(), err)
	}
	s.table.forget(e.start.Identity, end)
	return outcome, nil
}

// maxNextRuns limits how often a close is sent again because its session is that of the
// next run.
const maxNextRuns = 10

func isOfNextRun(err error) bool {
	failed, ok := errors.AsType[*temporal.ApplicationError](err)
	return ok && failed.Type() == conversation.ErrorNextRun
}

// updateOrStart updates the workflow that runs, or starts one, unless the outcome
// of the last run is the answer. All attempts have the same update id, so that
// an attempt whose answer was lost is not repeated as another close.
func (s *Sender) updateOrStart(ctx context.Context, e event, updateID string) (conversation.Outcome, error) {
	outcome, err := s.updateTwice(ctx, e, updateID, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
	// It may be refused again if another run has begun and completed meanwhile.
	for runID, ended := lastRunID(err); ended; runID, ended = lastRunID(err) {
		var last lastRun
		last, err = s.lastRun(ctx, e.start.WorkflowID(), runID)
		switch {
		case err != nil:
			return outcome, err
		case last.answers(e):
			return *last.outcome, nil
		}
		next := e
		next.start = last.nextStart(e)
		outcome, err = s.updateTwice(ctx, next, updateID, last.reusePolicy())
	}
	return outcome, err
}

// updateTwice updates again if the workflow was completing. Then it has ended.
func (s *Sender) updateTwice(
	ctx context.Context, e event, updateID string, reuse enumspb.WorkflowIdReusePolicy,
) (conversation.Outcome, error) {
	outcome, err := s.updateWithStart(ctx, e, updateID, reuse)
	if notFound(err) {
		outcome, err = s.updateWithStart(ctx, e, updateID, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
	}
	return outcome, err
}

// updateKnown updates the workflow that runs, or returns the outcome of the last
// run.
func (s *Sender) updateKnown(ctx context.Context, e event, updateID string) (conversation.Outcome, error) {
	handle, err := s.temporal.UpdateWorkflow(ctx, closeUpdate(e, updateID))
	outcome, err := s.updateOutcome(ctx, handle, err)
	if !notFound(err) {
		return outcome, err
	}
	last, lookupErr := s.lastRun(ctx, e.start.WorkflowID(), "")
	switch {
	case lookupErr != nil:
		return outcome, lookupErr
	case last.answers(e):
		return *last.outcome, nil
	default:
		return outcome, err
	}
}

func (s *Sender) updateWithStart(
	ctx context.Context, e event, updateID string, reuse enumspb.WorkflowIdReusePolicy,
) (conversation.Outcome, error) {
	handle, err := s.temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: s.temporal.NewWithStartWorkflowOperation(
			s.startOptions(e.start, reuse), conversation.WorkflowType, e.start),
		UpdateOptions: closeUpdate(e, updateID),
	})
	return s.updateOutcome(ctx, handle, err)
}

func (s *Sender) updateOutcome(
	ctx context.Context, handle client.WorkflowUpdateHandle, err error,
) (outcome conversation.Outcome, _ error) {
	var raw converter.RawValue
	if err == nil {
		err = handle.Get(ctx, &raw)
	}
	if err == nil {
		err = seal.Read(s.options.DataConverter, raw.Payload(), &outcome)
	}
	return outcome, err
}

func closeUpdate(e event, updateID string) client.UpdateWorkflowOptions {
	return client.UpdateWorkflowOptions{
		UpdateID:     updateID,
		WorkflowID:   e.start.WorkflowID(),
		UpdateName:   conversation.UpdateClose,
		Args:         []any{e.payload},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	}
}

// Status queries the state of a conversation, also of one that has ended, as long
// as Temporal retains it. The error is a [*serviceerror.NotFound] when there is
// none.
func (s *Sender) Status(ctx context.Context, id conversation.Identity) (conversation.Status, error) {
	if err := id.ValidateKey(); err != nil {
		return conversation.Status{}, fmt.Errorf("status: %w", err)
	}
	return s.statusOf(ctx, id, "")
}

// statusOf queries a run, the last one if runID is empty.
func (s *Sender) statusOf(ctx context.Context, id conversation.Identity, runID string) (conversation.Status, error) {
	var status conversation.Status
	var raw converter.RawValue
	answer, err := s.temporal.QueryWorkflow(ctx, id.WorkflowID(), runID, conversation.QueryStatus)
	if err == nil {
		err = answer.Get(&raw)
	}
	if err == nil {
		err = seal.Read(s.options.DataConverter, raw.Payload(), &status)
	}
	if err != nil {
		return status, fmt.Errorf("status %s: %w", id.WorkflowID(), err)
	}
	return status, nil
}
