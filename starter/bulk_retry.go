package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/urfave/cli/v3"
	batchpb "go.temporal.io/api/batch/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

// bulkRetry retries Blocked conversations by a batch operation of Temporal. The
// server does the work, so that any number is retried, also if this program stops.
type bulkRetry struct {
	service   workflowservice.WorkflowServiceClient
	namespace string
	query     string
	perSecond float64
	out       io.Writer
}

// requestTimeout limits each request to Temporal. The job itself has no limit.
const requestTimeout = 30 * time.Second

// lookEvery is the time between two requests of the same kind.
const lookEvery = time.Second

// retryBlocked counts the Blocked conversations that match the flags and, without
// -count, retries them.
func retryBlocked(ctx context.Context, c *cli.Command) error {
	if c.Args().Present() {
		return errors.New("want either a conversation or -blocked")
	}
	if rate := c.Float("rate"); !(rate >= 1 && rate <= 1000) { // negated, so that NaN is rejected
		return fmt.Errorf("-rate %v: want a number from 1 to 1000", rate)
	}
	query, err := blockedQuery(c.String("org"), c.String("reason"))
	if err != nil {
		return err
	}
	temporal, options, err := connect(c)
	if err != nil {
		return err
	}
	defer temporal.Close()
	b := bulkRetry{
		service: temporal.WorkflowService(), namespace: options.Namespace,
		query: query, perSecond: c.Float("rate"), out: c.Root().Writer,
	}
	found, err := b.count(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%d Blocked conversations match.\n", found)
	if found == 0 || c.Bool("count") {
		return nil
	}
	return b.run(ctx, found)
}

// These forms are safe between the quotes of a visibility query.
var (
	orgIDForm       = regexp.MustCompile(`^([a-zA-Z0-9]{15})?$`)
	errorReasonForm = regexp.MustCompile(`^[a-zA-Z0-9_]{0,240}$`)
)

// blockedQuery is the list filter of the Blocked conversations of an org and with an
// ErrorReason; an empty one matches all.
func blockedQuery(orgID, errorReason string) (string, error) {
	switch {
	case !orgIDForm.MatchString(orgID):
		return "", errors.New("-org: want the 15-character form of the org's id")
	case !errorReasonForm.MatchString(errorReason):
		return "", errors.New("-reason: want letters, digits and _")
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

func (b bulkRetry) count(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	counted, err := b.service.CountWorkflowExecutions(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: b.namespace, Query: b.query,
	})
	if err != nil {
		return 0, fmt.Errorf("count the Blocked conversations: %w", err)
	}
	return counted.GetCount(), nil
}

// run starts the job and shows its progress until it has ended. If that is interrupted,
// or it is not certain whether the job has begun, it prints how to look at the job.
func (b bulkRetry) run(ctx context.Context, found int64) error {
	job := uuid.NewString()
	// The id is shown first: if the answer is lost, the job may run all the same.
	fmt.Fprintf(b.out, "Temporal retries them as job %s, at most %g per second.\n", job, b.perSecond)
	err := b.start(ctx, job)
	if err == nil {
		err = b.watch(ctx, job, found)
	}
	if ctx.Err() != nil {
		fmt.Fprint(b.out, "Interrupted. ")
	}
	if ctx.Err() != nil || err != nil && sender.IsRetryable(err) {
		fmt.Fprintf(b.out, "If the job has begun, Temporal goes on with it.\n"+
			"To look at it:   temporal batch describe --namespace %[1]s --job-id %[2]s\n"+
			"To stop it:      temporal batch terminate --namespace %[1]s --job-id %[2]s --reason REASON\n"+
			"To count again:  the same command with -count\n", b.namespace, job)
	}
	return err
}

// start requests the job. A namespace has a limit of batch operations at the same
// time, by default one: start waits until another one has ended.
func (b bulkRetry) start(ctx context.Context, job string) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for reported := false; ; {
		err := b.request(ctx, job)
		limited, ok := errors.AsType[*serviceerror.ResourceExhausted](err)
		if !ok || limited.Cause != enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT {
			return err
		}
		if !reported {
			reported = true
			fmt.Fprintf(b.out, "Another batch operation runs in this namespace. Waiting for its end.\n"+
				"To look at it:   temporal batch list --namespace %s\n", b.namespace)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch shows the progress of the job until it has ended. The server counts what is
// done only now and then.
func (b bulkRetry) watch(ctx context.Context, job string, found int64) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for shown := int64(0); ; {
		state, err := b.describe(ctx, job)
		if err != nil && ctx.Err() == nil && !sender.IsRetryable(err) {
			return fmt.Errorf("look at job %s, which goes on in Temporal: %w", job, err)
		}
		done := state.GetCompleteOperationCount() + state.GetFailureOperationCount()
		if err == nil && done != shown {
			shown = done
			fmt.Fprintf(b.out, "%d of %d done\n", done, max(cmp.Or(state.GetTotalOperationCount(), found), done))
		}
		switch state.GetState() {
		case enumspb.BATCH_OPERATION_STATE_COMPLETED:
			fmt.Fprintf(b.out, "%d retried, %d had ended in the meantime or failed.\n",
				state.GetCompleteOperationCount(), state.GetFailureOperationCount())
			return nil
		case enumspb.BATCH_OPERATION_STATE_FAILED:
			return fmt.Errorf("job %s failed after %d conversations; run the command again", job, done)
		default:
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b bulkRetry) request(ctx context.Context, job string) error {
	input, err := converter.GetDefaultDataConverter().ToPayloads(conversation.Retry{})
	if err != nil {
		return fmt.Errorf("encode the signal: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err = b.service.StartBatchOperation(ctx, &workflowservice.StartBatchOperationRequest{
		Namespace: b.namespace, JobId: job, VisibilityQuery: b.query,
		Reason: "starter retry -blocked", MaxOperationsPerSecond: float32(b.perSecond),
		Operation: &workflowservice.StartBatchOperationRequest_SignalOperation{
			SignalOperation: &batchpb.BatchOperationSignal{
				Signal: conversation.SignalRetry, Input: input, Identity: "starter",
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

func (b bulkRetry) describe(
	ctx context.Context, job string,
) (*workflowservice.DescribeBatchOperationResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return b.service.DescribeBatchOperation(ctx, &workflowservice.DescribeBatchOperationRequest{
		Namespace: b.namespace, JobId: job,
	})
}
