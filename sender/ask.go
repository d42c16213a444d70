package sender

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"sessionkeeper/conversation"
)

// CloseAndWait closes like [Sender.CloseConversation] and waits for the outcome, as long as
// ctx allows. When an operator is needed, the error is a
// [*temporal.ApplicationError] whose type is the ErrorReason; the close then
// still stands. A conversation that had ended already answers with its outcome;
// one whose workflow failed before is closed anew. With only the two identifiers
// that name the conversation in id, the error is a [*serviceerror.NotFound] when
// there is none.
func (s *Sender) CloseAndWait(ctx context.Context, id conversation.Identity, c conversation.Close) (conversation.Outcome, error) {
	e, err := s.closing(id, c)
	if err != nil {
		return conversation.Outcome{}, err
	}
	if err := s.flush(ctx, e.start.Identity); err != nil {
		return conversation.Outcome{}, fmt.Errorf("close: %w", err)
	}
	ask := s.updateOrStart
	if keyOnly(id) {
		ask = s.updateKnown
	}
	outcome, err := ask(ctx, e)
	if err != nil {
		return conversation.Outcome{}, fmt.Errorf("close %s: %w", e.start.WorkflowID(), err)
	}
	s.windows.forget(e.start.Identity, c.At)
	return outcome, nil
}

// updateOrStart asks the conversation that runs, or starts one, unless the last
// one answers by its outcome.
func (s *Sender) updateOrStart(ctx context.Context, e event) (conversation.Outcome, error) {
	outcome, err := s.updateWithStart(ctx, e, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
	if notFound(err) {
		// The conversation was completing when it was asked; now it has ended.
		outcome, err = s.updateWithStart(ctx, e, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
	}
	runID, ended := alreadyRan(err)
	if !ended {
		return outcome, err
	}
	last, err := s.ending(ctx, e.start.WorkflowID(), runID)
	switch {
	case err != nil:
		return outcome, err
	case last.answers(e):
		return *last.outcome, nil
	default:
		return s.updateWithStart(ctx, e, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE)
	}
}

// updateKnown asks the conversation that runs, or the outcome of the last one.
func (s *Sender) updateKnown(ctx context.Context, e event) (conversation.Outcome, error) {
	outcome, err := s.update(ctx, e)
	if !notFound(err) {
		return outcome, err
	}
	last, lookErr := s.ending(ctx, e.start.WorkflowID(), "")
	switch {
	case lookErr != nil:
		return outcome, lookErr
	case last.answers(e):
		return *last.outcome, nil
	default:
		return outcome, err
	}
}

func (s *Sender) updateWithStart(ctx context.Context, e event, reuse enumspb.WorkflowIdReusePolicy) (conversation.Outcome, error) {
	handle, err := s.temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: s.temporal.NewWithStartWorkflowOperation(
			s.startOptions(e.start, reuse), conversation.WorkflowType, e.start),
		UpdateOptions: closeUpdate(e),
	})
	if err != nil {
		return conversation.Outcome{}, err //nolint:wrapcheck // the caller wraps it
	}
	var outcome conversation.Outcome
	err = handle.Get(ctx, &outcome)
	return outcome, err //nolint:wrapcheck // the caller wraps it
}

func (s *Sender) update(ctx context.Context, e event) (conversation.Outcome, error) {
	var outcome conversation.Outcome
	handle, err := s.temporal.UpdateWorkflow(ctx, closeUpdate(e))
	if err == nil {
		err = handle.Get(ctx, &outcome)
	}
	return outcome, err //nolint:wrapcheck // the caller wraps it
}

func closeUpdate(e event) client.UpdateWorkflowOptions {
	return client.UpdateWorkflowOptions{
		WorkflowID:   e.start.WorkflowID(),
		UpdateName:   conversation.UpdateClose,
		Args:         []any{e.payload},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	}
}

// Status asks a conversation how it stands. The one that ended last answers
// too, as long as Temporal retains it. The error is a [*serviceerror.NotFound]
// for one that is not known.
func (s *Sender) Status(ctx context.Context, id conversation.Identity) (conversation.Status, error) {
	var status conversation.Status
	if err := id.ValidateKey(); err != nil {
		return status, fmt.Errorf("status: %w", err)
	}
	answer, err := s.temporal.QueryWorkflow(ctx, id.WorkflowID(), "", conversation.QueryStatus)
	if err == nil {
		err = answer.Get(&status)
	}
	if err != nil {
		return status, fmt.Errorf("status %s: %w", id.WorkflowID(), err)
	}
	return status, nil
}

// BlockedFilter chooses Blocked conversations. An empty field matches all.
type BlockedFilter struct {
	OrgID       string
	ErrorReason string
}

// These may stand in a visibility query's quotes.
var (
	orgID       = regexp.MustCompile(`^([a-zA-Z0-9]{15})?$`)
	errorReason = regexp.MustCompile(`^[a-zA-Z0-9_]*$`)
)

func (f BlockedFilter) query() (string, error) {
	switch {
	case !orgID.MatchString(f.OrgID):
		return "", fmt.Errorf("org id %q: want its 15-character form", f.OrgID)
	case !errorReason.MatchString(f.ErrorReason):
		return "", fmt.Errorf("error reason %q: want letters, digits and _", f.ErrorReason)
	}
	terms := []string{
		fmt.Sprintf("WorkflowType = '%s'", conversation.WorkflowType),
		"ExecutionStatus = 'Running'",
		fmt.Sprintf("%s = '%s'", conversation.SessionPhaseKey.GetName(), conversation.Blocked),
	}
	if f.OrgID != "" {
		terms = append(terms, fmt.Sprintf("%s = '%s'", conversation.OrgIDKey.GetName(), f.OrgID))
	}
	if f.ErrorReason != "" {
		terms = append(terms, fmt.Sprintf("%s = '%s'", conversation.ErrorReasonKey.GetName(), f.ErrorReason))
	}
	return strings.Join(terms, " AND "), nil
}

// RetryBlocked tells every Blocked conversation that matches to try again, and
// returns how many it told. Those that ended in the meantime do not count.
func (s *Sender) RetryBlocked(ctx context.Context, filter BlockedFilter) (told int, err error) {
	query, err := filter.query()
	if err != nil {
		return 0, fmt.Errorf("retry blocked: %w", err)
	}
	var page []byte
	for {
		found, err := s.temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query, NextPageToken: page})
		if err != nil {
			return told, fmt.Errorf("retry blocked: list %q: %w", query, err)
		}
		for _, execution := range found.GetExecutions() {
			id := execution.GetExecution().GetWorkflowId()
			err := s.temporal.SignalWorkflow(ctx, id, "", conversation.SignalRetry, conversation.Retry{})
			switch {
			case notFound(err):
			case err != nil:
				return told, fmt.Errorf("retry %s: %w", id, err)
			default:
				told++
			}
		}
		if page = found.GetNextPageToken(); len(page) == 0 {
			return told, nil
		}
	}
}
