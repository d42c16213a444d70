package sender

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"sessionkeeper/conversation"
)

// CloseAndWait closes like [Sender.Close] and waits for the outcome. When an
// operator is needed, the error is a [*temporal.ApplicationError] whose type is
// the ErrorReason; the close then still stands. A conversation that had ended
// already answers with its outcome. With only the two identifiers that name the
// conversation in id, the error is a [*serviceerror.NotFound] when none runs.
func (s *Sender) CloseAndWait(ctx context.Context, id conversation.Identity, c conversation.Close) (conversation.Outcome, error) {
	e, err := s.closing(id, c)
	if err != nil {
		return conversation.Outcome{}, err
	}
	if keyOnly(id) {
		return s.updateRunning(ctx, e)
	}
	outcome, err := s.updateWithStart(ctx, e, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
	if last, ended := alreadyRan(err); ended {
		before, _, lookErr := s.ended(ctx, e.start.WorkflowID(), last)
		if lookErr == nil && before != nil && (e.start.At.IsZero() || !e.start.At.After(before.Covers)) {
			return *before, nil
		}
		outcome, err = s.updateWithStart(ctx, e, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE)
	}
	if err != nil {
		return conversation.Outcome{}, fmt.Errorf("close %s: %w", e.start.WorkflowID(), err)
	}
	return outcome, nil
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

func (s *Sender) updateRunning(ctx context.Context, e event) (conversation.Outcome, error) {
	var outcome conversation.Outcome
	handle, err := s.temporal.UpdateWorkflow(ctx, closeUpdate(e))
	if err == nil {
		err = handle.Get(ctx, &outcome)
	}
	if err != nil {
		return outcome, fmt.Errorf("close %s: %w", e.start.WorkflowID(), err)
	}
	return outcome, nil
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

// plain is what may stand in a visibility query's quotes.
var plain = regexp.MustCompile(`^[A-Za-z0-9_]*$`)

func (f BlockedFilter) query() (string, error) {
	if !plain.MatchString(f.OrgID + f.ErrorReason) {
		return "", errors.New("org id and error reason consist of letters, digits and _")
	}
	terms := []string{
		fmt.Sprintf("WorkflowType = '%s'", conversation.WorkflowType),
		"ExecutionStatus = 'Running'",
		fmt.Sprintf("%s = '%s'", conversation.SessionPhaseKey.GetName(), conversation.Blocked),
	}
	for key, value := range map[string]string{
		conversation.OrgIDKey.GetName(): f.OrgID, conversation.ErrorReasonKey.GetName(): f.ErrorReason,
	} {
		if value != "" {
			terms = append(terms, fmt.Sprintf("%s = '%s'", key, value))
		}
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
			var gone *serviceerror.NotFound
			switch {
			case errors.As(err, &gone):
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

// ParseKey reads a workflow id back into the two identifiers it is made of.
func ParseKey(workflowID string) (conversation.Identity, error) {
	org, identifier, _ := strings.Cut(workflowID, ":")
	id := conversation.Identity{OrgID: cmp.Or(org, workflowID), ConversationIdentifier: identifier}
	if err := id.ValidateKey(); err != nil {
		return conversation.Identity{}, fmt.Errorf(`conversation %q: want "<orgId>:<conversationIdentifier>": %w`, workflowID, err)
	}
	return id, nil
}
