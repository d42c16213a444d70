package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
)

// continueAsNewEvents is our own bound on a run's history, below the server's
// 4,096: a short history is what makes a conversation cheap to resume on a
// worker that does not have it cached.
const continueAsNewEvents = 2000

// Register adds the workflow to a worker, or to a replayer or test environment.
func Register(r worker.WorkflowRegistry) {
	r.RegisterWorkflowWithOptions(Conversation, workflow.RegisterOptions{Name: conversation.WorkflowType})
}

// Conversation keeps one conversation until it has ended, and answers with how
// it ended. Callers give the start only; carried is what a run hands to the
// next one when it continues as new.
//
// It fails with the ErrorReason as error type when it was Blocked for
// policy.blockedFor, with "INVALID_REQUEST" when the start does not even name a
// conversation, and is Canceled when an operator cancels it.
func Conversation(ctx workflow.Context, start conversation.Start, carried *State) (*conversation.Outcome, error) {
	k, err := newKeeper(ctx, start, carried)
	if err != nil {
		return nil, err
	}
	return k.run(ctx)
}

// keeper moves a conversation's state along on Temporal.
type keeper struct {
	state *State

	inbox   inbox
	waiting []*waiter
	flight  *flight
	clock   *clock
	shown   shown
}

func newKeeper(ctx workflow.Context, start conversation.Start, carried *State) (*keeper, error) {
	k := &keeper{state: carried}
	if k.state == nil {
		if err := checkStart(ctx, start); err != nil {
			return nil, err
		}
		k.state = newState(start, workflow.Now(ctx))
	}
	return k, k.open(ctx)
}

// checkStart refuses only what names no conversation: the rest may be completed
// by a later start, and until then the operator sees what Salesforce says.
func checkStart(ctx workflow.Context, start conversation.Start) error {
	err := errors.Join(start.ValidateKey(), start.Policy.Validate())
	if id := workflow.GetInfo(ctx).WorkflowExecution.ID; err == nil && id != start.WorkflowID() {
		err = fmt.Errorf("workflow id %q: want %q", id, start.WorkflowID())
	}
	if err != nil {
		return temporal.NewNonRetryableApplicationError("start conversation: "+err.Error(), activities.ReasonInvalidRequest, nil)
	}
	return nil
}

// run is the conversation's life. Everything that has arrived is taken in
// before anything is decided, so that a message in the same workflow task as
// the fired timer wins.
func (k *keeper) run(ctx workflow.Context) (*conversation.Outcome, error) {
	for {
		k.listen(ctx)
		now := workflow.Now(ctx)
		k.state.lapse(now)
		switch {
		case k.state.gaveUp(now):
			return nil, k.giveUp(ctx)
		case k.finished(ctx):
			return k.finish(ctx)
		case k.full(ctx):
			return nil, k.continueAsNew(ctx, k.state)
		}
		k.direct(ctx, now)
		k.wind(ctx, now)
		k.answerWaiting()
		k.show(ctx)
		// Cancelling also cancels the timer and the call, which then are ready:
		// so it is the context that says it, not the error.
		_ = workflow.Await(ctx, func() bool { return k.stirred(ctx) })
		if cause := ctx.Err(); cause != nil {
			return nil, k.stop(ctx, cause)
		}
		k.land(ctx)
	}
}

// stirred reports whether there is anything to do.
func (k *keeper) stirred(ctx workflow.Context) bool {
	return k.inbox.arrived() || k.flight.landed() || k.clock.rang() || k.finished(ctx) || k.full(ctx)
}

// finished reports whether the session is over, no call is in the air, and
// every caller that waited has its answer.
func (k *keeper) finished(ctx workflow.Context) bool {
	return k.state.Outcome != nil && k.flight == nil && workflow.AllHandlersFinished(ctx)
}

// finish completes the workflow, or goes on with what arrived after the end.
// Nothing is lost here: the inbox was drained in this very step.
func (k *keeper) finish(ctx workflow.Context) (*conversation.Outcome, error) {
	k.show(ctx)
	if k.state.Next != nil {
		return nil, k.continueAsNew(ctx, k.state.Next)
	}
	return k.state.Outcome, nil
}

// full reports whether the history is long enough and the moment quiet.
func (k *keeper) full(ctx workflow.Context) bool {
	return k.state.Outcome == nil && k.crowded(ctx) && k.flight == nil && workflow.AllHandlersFinished(ctx)
}

func (k *keeper) crowded(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return info.GetContinueAsNewSuggested() || info.GetCurrentHistoryLength() >= continueAsNewEvents
}

func (k *keeper) continueAsNew(ctx workflow.Context, state *State) error {
	start := conversation.Start{Identity: state.Identity, Policy: state.Policy, At: state.SessionSince}
	return workflow.NewContinueAsNewError(ctx, conversation.WorkflowType, start, state)
}

// giveUp fails the workflow, so that a conversation nobody repaired shows as
// failed.
func (k *keeper) giveUp(ctx workflow.Context) error {
	blocked := k.state.Blocked
	k.show(ctx)
	return temporal.NewNonRetryableApplicationError(
		fmt.Sprintf("%s was blocked for %s: %s", blocked.Operation, k.state.Policy.BlockedFor, blocked.Message),
		blocked.Reason, nil, blocked)
}

// stop ends a cancelled workflow. A call in the air is awaited, so that its
// answer is on record; none is made, unless the policy asks to End the session.
func (k *keeper) stop(ctx workflow.Context, cause error) error {
	after, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	k.await(after)
	k.listen(after)
	if k.state.Policy.EndOnCancel && k.state.Outcome == nil {
		k.state.closed(conversation.Close{By: conversation.System}, workflow.Now(after))
		k.flight = take(after, k.state.call(conversation.End, k.state.Closing.By))
		k.await(after)
		k.state.canceled()
	}
	k.leaveWaiting(cause)
	k.show(after)
	// A disconnected context is never cancelled, so this has no error.
	_ = workflow.Await(after, func() bool { return workflow.AllHandlersFinished(after) })
	return cause
}

func (k *keeper) await(ctx workflow.Context) {
	for k.flight != nil {
		// A disconnected context is never cancelled, so this has no error.
		_ = workflow.Await(ctx, k.flight.landed)
		k.land(ctx)
	}
}
