// Package erasure deletes from Temporal what it stores of conversations.
package erasure

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"sessionkeeper/conversation"
)

// ErrRuns is the error of a conversation that still runs, or that has begun again.
var ErrRuns = errors.New("the conversation runs")

// Limits of what one conversation may take.
const (
	// endTimeout is how long a conversation may take to end.
	endTimeout = 2 * time.Minute
	// listTimeout is how long to wait until the visibility store knows the last run.
	listTimeout = 30 * time.Second
	pause       = time.Second
)

// Conversation erases one conversation.
type Conversation struct {
	Temporal  client.Client
	Namespace string
	ID        conversation.Identity
	// End ends the conversation if it runs. Without it, one that runs is not erased.
	End func(context.Context, conversation.Identity) error

	// requested are the runs whose deletion Temporal was asked for. A second request for
	// the same run could leave a part of its history behind.
	requested map[string]bool
}

// Begin ends the conversation if it runs, and asks Temporal to delete all of its runs.
// That happens in the background: see [Conversation.Wait].
func (c *Conversation) Begin(ctx context.Context) error {
	c.requested = map[string]bool{}
	last, err := c.describe(ctx, "")
	if err == nil && isOpen(last) && c.End != nil {
		last, err = c.end(ctx)
	}
	switch {
	case err != nil:
		return err
	case isOpen(last):
		return ErrRuns
	case last != nil:
		if err := c.awaitListed(ctx, last.GetExecution().GetRunId()); err != nil {
			return err
		}
	}
	_, err = c.deleteListed(ctx)
	if err == nil && last != nil {
		err = c.delete(ctx, last.GetExecution().GetRunId())
	}
	return err
}

func (c *Conversation) end(ctx context.Context) (last *workflowpb.WorkflowExecutionInfo, err error) {
	limited, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	if err := c.End(limited, c.ID); err != nil && !isNotFound(err) { // it may have ended meanwhile
		return nil, fmt.Errorf("end the conversation: %w", err)
	}
	return c.describe(ctx, "")
}

// awaitListed waits until the visibility store has the end of the last run. Then it has
// the earlier runs too, because their records were written before.
func (c *Conversation) awaitListed(ctx context.Context, runID string) error {
	for deadline := time.Now().Add(listTimeout); time.Now().Before(deadline); {
		runs, err := c.list(ctx)
		if err != nil {
			return err
		}
		for _, run := range runs {
			if run.GetExecution().GetRunId() == runID && !isOpen(run) {
				return nil
			}
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
	return nil
}

// Wait waits until Temporal does not know any run any more, and returns how many there
// were. Temporal deletes the history of a run last, so it may need a moment longer. If
// Begin has failed, Wait still waits for the deletions that are under way, so that nobody
// asks for them again.
func (c *Conversation) Wait(ctx context.Context) (runs int, err error) {
	if len(c.requested) == 0 {
		return 0, nil
	}
	for {
		left, err := c.deleteListed(ctx)
		if err != nil {
			return 0, err
		}
		for runID := range c.requested {
			run, err := c.describe(ctx, runID)
			if err != nil {
				return 0, err
			}
			if run != nil {
				left++
			}
		}
		if left == 0 {
			return len(c.requested), c.hasNotBegunAgain(ctx)
		}
		if err := sleep(ctx, pause); err != nil {
			return 0, fmt.Errorf("%d runs are not deleted yet: %w", left, err)
		}
	}
}

func (c *Conversation) hasNotBegunAgain(ctx context.Context) error {
	last, err := c.describe(ctx, "")
	if err == nil && last != nil {
		err = ErrRuns
	}
	return err
}

// deleteListed deletes the runs that the visibility store knows, and returns how many it
// still knows.
func (c *Conversation) deleteListed(ctx context.Context) (listed int, err error) {
	runs, err := c.list(ctx)
	if err != nil {
		return 0, err
	}
	for _, run := range runs {
		if err := c.delete(ctx, run.GetExecution().GetRunId()); err != nil {
			return 0, err
		}
	}
	return len(runs), nil
}

func (c *Conversation) list(ctx context.Context) (runs []*workflowpb.WorkflowExecutionInfo, err error) {
	request := &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: c.Namespace,
		Query:     "WorkflowType = '" + conversation.WorkflowType + "' AND WorkflowId = " + quoted(c.ID.WorkflowID()),
	}
	for {
		page, err := c.Temporal.ListWorkflow(ctx, request)
		if err != nil {
			return nil, fmt.Errorf("list the runs: %w", err)
		}
		runs = append(runs, page.GetExecutions()...)
		if request.NextPageToken = page.GetNextPageToken(); len(request.NextPageToken) == 0 {
			return runs, nil
		}
	}
}

// delete asks for the deletion of a run that has ended, once. Temporal would terminate one
// that has not.
func (c *Conversation) delete(ctx context.Context, runID string) error {
	if c.requested[runID] {
		return nil
	}
	run, err := c.describe(ctx, runID)
	switch {
	case err != nil:
		return err
	case run == nil:
		return nil
	case isOpen(run):
		return ErrRuns
	}
	c.requested[runID] = true
	_, err = c.Temporal.WorkflowService().DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{
		Namespace: c.Namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: c.ID.WorkflowID(), RunId: runID},
	})
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("delete run %s: %w", runID, err)
	}
	return nil
}

// describe looks up a run, the last one if runID is empty. It returns nil if there is none.
func (c *Conversation) describe(ctx context.Context, runID string) (*workflowpb.WorkflowExecutionInfo, error) {
	described, err := c.Temporal.DescribeWorkflowExecution(ctx, c.ID.WorkflowID(), runID)
	switch {
	case isNotFound(err):
		return nil, nil //nolint:nilnil // there is no such run
	case err != nil:
		return nil, fmt.Errorf("look up a run: %w", err)
	case described.GetWorkflowExecutionInfo().GetType().GetName() != conversation.WorkflowType:
		return nil, errors.New("the workflow with this id is not a conversation")
	}
	return described.GetWorkflowExecutionInfo(), nil
}

func isOpen(run *workflowpb.WorkflowExecutionInfo) bool {
	return run != nil && run.GetCloseTime() == nil
}

func isNotFound(err error) bool {
	_, missing := errors.AsType[*serviceerror.NotFound](err)
	return missing
}

// quoted is a text in Temporal's query language.
func quoted(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
