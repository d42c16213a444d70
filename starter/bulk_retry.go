package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/urfave/cli/v3"
	enumspb "go.temporal.io/api/enums/v1"

	"sessionkeeper/internal/bulkretry"
	"sessionkeeper/sender"
)

// bulkRetry retries Blocked conversations by a batch operation of Temporal. The
// server does the work, so that any number is retried, also if this program stops.
type bulkRetry struct {
	bulkretry.Job
	out io.Writer
}

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
	query, err := bulkretry.Query(c.String("org"), c.String("reason"))
	switch {
	case errors.Is(err, bulkretry.ErrOrgID):
		return fmt.Errorf("-org: %w", err)
	case err != nil:
		return fmt.Errorf("-reason: %w", err)
	}
	temporal, options, err := connect(c)
	if err != nil {
		return err
	}
	defer temporal.Close()
	b := bulkRetry{out: c.Root().Writer, Job: bulkretry.Job{
		Service: temporal.WorkflowService(), Namespace: options.Namespace, ID: uuid.NewString(),
		Query: query, PerSecond: c.Float("rate"), Reason: "starter retry -blocked", Identity: "starter",
	}}
	found, err := b.Count(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%d Blocked conversations match.\n", found)
	if found == 0 || c.Bool("count") {
		return nil
	}
	return b.run(ctx, found)
}

// run starts the job and shows its progress until it has ended. If that is interrupted,
// or it is not certain whether the job has begun, it prints how to look at the job.
func (b bulkRetry) run(ctx context.Context, found int64) error {
	// The id is shown first: if the answer is lost, the job may run all the same.
	fmt.Fprintf(b.out, "Temporal retries them as job %s, at most %g per second.\n", b.ID, b.PerSecond)
	err := b.start(ctx)
	if err == nil {
		err = b.watch(ctx, found)
	}
	if ctx.Err() != nil {
		fmt.Fprint(b.out, "Interrupted. ")
	}
	if ctx.Err() != nil || err != nil && sender.IsRetryable(err) {
		fmt.Fprintf(b.out, "If the job has begun, Temporal goes on with it.\n"+
			"To look at it:   temporal batch describe --namespace %[1]s --job-id %[2]s\n"+
			"To stop it:      temporal batch terminate --namespace %[1]s --job-id %[2]s --reason REASON\n"+
			"To count again:  the same command with -count\n", b.Namespace, b.ID)
	}
	return err
}

// start requests the job. A namespace has a limit of batch operations at the same
// time, by default one: start waits until another one has ended.
func (b bulkRetry) start(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for reported := false; ; {
		err := b.Start(ctx)
		if !bulkretry.IsBusy(err) {
			return err
		}
		if !reported {
			reported = true
			fmt.Fprintf(b.out, "Another batch operation runs in this namespace. Waiting for its end.\n"+
				"To look at it:   temporal batch list --namespace %s\n", b.Namespace)
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
func (b bulkRetry) watch(ctx context.Context, found int64) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for shown := int64(0); ; {
		state, err := b.Describe(ctx)
		if err != nil && ctx.Err() == nil && !sender.IsRetryable(err) {
			return fmt.Errorf("look at job %s, which goes on in Temporal: %w", b.ID, err)
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
			return fmt.Errorf("job %s failed after %d conversations; run the command again", b.ID, done)
		default:
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
