// Package bulkretry retries Blocked conversations by a batch operation of Temporal. The
// server does the work, so that any number is retried, also if the program stops that
// has asked for it.
package bulkretry

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	batchpb "go.temporal.io/api/batch/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"sessionkeeper/conversation"
)

// requestTimeout limits each request to Temporal. The job itself has no limit.
const requestTimeout = 30 * time.Second

// Job is a batch operation that sends the signal "retry" to the conversations of a query.
type Job struct {
	Service   workflowservice.WorkflowServiceClient
	Namespace string
	// ID of the job. Temporal starts no second job of the same id while it knows the first.
	ID string
	// Query is the list filter of the conversations, see [Query].
	Query string
	// PerSecond is how many conversations are retried per second.
	PerSecond float64
	// Reason says why, Identity who asks. Both are shown in Temporal.
	Reason, Identity string
}

// These forms are safe between the quotes of a visibility query.
var (
	orgIDForm       = regexp.MustCompile(`^([a-zA-Z0-9]{15})?$`)
	errorReasonForm = regexp.MustCompile(`^[a-zA-Z0-9_]{0,240}$`)
)

// Errors of [Query].
var (
	ErrOrgID       = errors.New("want the 15-character form of the org's id")
	ErrErrorReason = errors.New("want letters, digits and _")
)

// Query is the list filter of the Blocked conversations of an org and with an
// ErrorReason; an empty one matches all.
func Query(orgID, errorReason string) (string, error) {
	switch {
	case !orgIDForm.MatchString(orgID):
		return "", ErrOrgID
	case !errorReasonForm.MatchString(errorReason):
		return "", ErrErrorReason
	}
	terms := []string{
		fmt.Sprintf("WorkflowType = '%s'", conversation.WorkflowType),
		"ExecutionStatus = 'Running'",
		fmt.Sprintf("%s = '%s'", conversation.SessionPhaseKey.GetName(), conversation.Blocked),
	}
	if orgID != "" {
		terms = append(terms, fmt.Sprintf("%s = '%s'", conversation.OrgIDKey.GetName(), orgID))
	}
	if errorReason != "" {
		terms = append(terms, fmt.Sprintf("%s = '%s'", conversation.ErrorReasonKey.GetName(), errorReason))
	}
	return strings.Join(terms, " AND "), nil
}

// Count returns how many conversations match.
func (j Job) Count(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	counted, err := j.Service.CountWorkflowExecutions(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: j.Namespace, Query: j.Query,
	})
	if err != nil {
		return 0, fmt.Errorf("count the Blocked conversations: %w", err)
	}
	return counted.GetCount(), nil
}

// Start asks Temporal to begin the job. See [IsBusy] for one kind of error.
func (j Job) Start(ctx context.Context) error {
	input, err := converter.GetDefaultDataConverter().ToPayloads(conversation.Retry{})
	if err != nil {
		return fmt.Errorf("encode the signal: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err = j.Service.StartBatchOperation(ctx, &workflowservice.StartBatchOperationRequest{
		Namespace: j.Namespace, JobId: j.ID, VisibilityQuery: j.Query,
		Reason: j.Reason, MaxOperationsPerSecond: float32(j.PerSecond),
		Operation: &workflowservice.StartBatchOperationRequest_SignalOperation{
			SignalOperation: &batchpb.BatchOperationSignal{
				Signal: conversation.SignalRetry, Input: input, Identity: j.Identity,
			},
		},
	})
	if _, ok := errors.AsType[*serviceerror.PermissionDenied](err); ok {
		return fmt.Errorf("start a batch operation: these credentials may not; ask for the permission: %w", err)
	}
	if _, ok := errors.AsType[*serviceerror.Unimplemented](err); ok {
		return fmt.Errorf("start a batch operation: this Temporal server is too old for them: %w", err)
	}
	if err != nil {
		return fmt.Errorf("start a batch operation: %w", err)
	}
	return nil
}

// IsBusy reports whether a job cannot begin because others run: a namespace has a limit of
// batch operations at the same time, by default one.
func IsBusy(err error) bool {
	limited, ok := errors.AsType[*serviceerror.ResourceExhausted](err)
	return ok && limited.Cause == enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT
}

// Describe returns the state of the job.
func (j Job) Describe(ctx context.Context) (*workflowservice.DescribeBatchOperationResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return j.Service.DescribeBatchOperation(ctx, &workflowservice.DescribeBatchOperationRequest{
		Namespace: j.Namespace, JobId: j.ID,
	})
}
