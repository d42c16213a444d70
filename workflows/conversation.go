package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
)

// continueAsNewEvents limits the history of a run. It is lower than the server's
// own limit of 4,096 events: a worker that does not have the conversation in its
// cache replays the whole history, and a short one is cheap to replay.
const continueAsNewEvents = 2000

// Register adds the workflow to a worker, a replayer or a test environment.
func Register(r worker.WorkflowRegistry) {
	r.RegisterWorkflowWithOptions(Conversation, workflow.RegisterOptions{Name: conversation.WorkflowType})
}

// Conversation runs until the conversation has ended and returns how it ended.
// Callers pass the start only, a [conversation.Start]. The second argument is the
// [State] that a run gives to the next one when it continues as new. Both are raw,
// so that an input that cannot be read fails the workflow, not its task.
//
// It fails with the ErrorReason as error type after it was Blocked for
// policy.blockedFor, and with "INVALID_REQUEST" if the start cannot be read or does
// not name a conversation. It is Canceled when an operator cancels it; the details of
// that are the outcome if the session has ended.
func Conversation(ctx workflow.Context, start, carried converter.RawValue) (*conversation.Outcome, error) {
	r, err := newRunner(ctx, start, carried)
	if err != nil {
		return nil, err
	}
	return r.run(ctx)
}

// runner executes on Temporal what the state decides.
type runner struct {
	state *State

	// updates are the closes that are not applied yet, closeRequests those that wait
	// for their result.
	updates       []*closeRequest
	closeRequests []*closeRequest
	pendingCall   *pendingCall
	idleTimer     idleTimer
}

func newRunner(ctx workflow.Context, start, carried converter.RawValue) (*runner, error) {
	state, err := firstState(ctx, start, carried)
	if err != nil {
		return nil, temporal.NewNonRetryableApplicationError("start conversation: "+err.Error(),
			activities.ReasonInvalidRequest, nil)
	}
	r := &runner{state: state}
	return r, r.registerHandlers(ctx)
}

// firstState is the state at the beginning of a run. Only a run that continues
// another one has a carried state.
func firstState(ctx workflow.Context, rawStart, rawCarried converter.RawValue) (*State, error) {
	var start conversation.Start
	if err := readJSON(rawStart, &start); err != nil {
		return nil, unreadable("start", err)
	}
	if err := checkStart(ctx, start); err != nil {
		return nil, err
	}
	if workflow.GetInfo(ctx).ContinuedExecutionRunID == "" || rawCarried.Payload() == nil {
		return newState(start, workflow.Now(ctx)), nil
	}
	var carried State
	if err := readJSON(rawCarried, &carried); err != nil {
		return nil, unreadable("carried state", err)
	}
	if carried.Identity.WorkflowID() != start.WorkflowID() {
		return nil, errors.New("the carried state is of another conversation")
	}
	for state := &carried; state != nil; state = state.Next {
		state.Policy = state.Policy.WithDefaults()
	}
	return &carried, nil
}

// checkStart rejects only a start that does not name a conversation or has an
// impossible policy. A later start may complete the other fields; until then
// Salesforce's errors tell the operator what is missing.
func checkStart(ctx workflow.Context, start conversation.Start) error {
	if err := start.ValidateProvisional(); err != nil {
		return err
	}
	if workflow.GetInfo(ctx).WorkflowExecution.ID != start.WorkflowID() {
		return errors.New(`the workflow id must be "<orgId>:<conversationIdentifier>" of the start`)
	}
	return nil
}

// run is the loop of the workflow. It drains all signals before it decides, so
// that a message in the same workflow task as the fired timer is seen first.
func (r *runner) run(ctx workflow.Context) (*conversation.Outcome, error) {
	for {
		r.drainSignals(ctx)
		now := workflow.Now(ctx)
		next := r.state.step(now)
		switch {
		case next.gaveUp:
			return nil, r.failBlocked(ctx)
		case r.isFinished(ctx):
			return r.finish(ctx)
		case r.shouldContinueAsNew(ctx):
			return nil, r.continueAsNew(ctx, r.state)
		}
		r.reconcileCall(ctx, next.due)
		r.resetTimer(ctx, next, now)
		r.resolveCloses()
		r.publish(ctx)
		// The error is not needed: it only says that the context was cancelled, which
		// is checked below.
		_ = workflow.Await(ctx, func() bool { return r.hasWork(ctx) })
		if cause := ctx.Err(); cause != nil {
			return nil, r.stop(ctx, cause)
		}
		r.completeCall(ctx)
	}
}

// hasWork is the condition on which the loop waits.
func (r *runner) hasWork(ctx workflow.Context) bool {
	return r.hasEvents(ctx) || r.pendingCall.done() || r.idleTimer.fired() ||
		r.isFinished(ctx) || r.shouldContinueAsNew(ctx)
}

// isFinished reports whether the session has ended, no call is in flight, and
// every update has returned.
func (r *runner) isFinished(ctx workflow.Context) bool {
	return r.state.Outcome != nil && r.pendingCall == nil && workflow.AllHandlersFinished(ctx)
}

// finish completes the workflow, or continues it as new with the events that
// arrived after the end. No event is lost: all signals were drained in this
// iteration of the loop.
func (r *runner) finish(ctx workflow.Context) (*conversation.Outcome, error) {
	r.publish(ctx)
	if r.state.Next != nil {
		return nil, r.continueAsNew(ctx, r.state.asFirst(workflow.Now(ctx)))
	}
	return r.state.Outcome, nil
}

// shouldContinueAsNew reports whether the history is too long, and nothing is in
// flight that the next run could not take over.
func (r *runner) shouldContinueAsNew(ctx workflow.Context) bool {
	return r.state.Outcome == nil && historyTooLong(ctx) && r.pendingCall == nil && workflow.AllHandlersFinished(ctx)
}

func historyTooLong(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return info.GetContinueAsNewSuggested() || info.GetCurrentHistoryLength() >= continueAsNewEvents
}

func (r *runner) continueAsNew(ctx workflow.Context, state *State) error {
	start := conversation.Start{Identity: state.Identity, Policy: state.Policy, At: state.SessionSince}
	return workflow.NewContinueAsNewError(ctx, conversation.WorkflowType, start, state)
}

// failBlocked fails the workflow, so that a conversation that no operator
// repaired is listed as failed.
func (r *runner) failBlocked(ctx workflow.Context) error {
	blocked := r.state.Blocked
	r.publish(ctx)
	return temporal.NewNonRetryableApplicationError(
		fmt.Sprintf("%s was blocked for %s: %s", blocked.Operation, r.state.Policy.BlockedFor, blocked.Message),
		blocked.Reason, nil, blocked)
}

// stop ends a cancelled workflow. It cancels the timer and the call in flight, and
// waits for the last attempt, so that its answer is recorded. It makes a new call
// only if the policy asks to End the session on cancel. A session that begins
// meanwhile was not cancelled: the workflow continues as new with it.
func (r *runner) stop(ctx workflow.Context, cause error) error {
	r.idleTimer.stop()
	r.cancelCall()
	generation := r.state.Generation
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	r.awaitCall(ctx)
	r.drainSignals(ctx)
	if r.state.Policy.EndOnCancel && r.state.Outcome == nil && r.state.Generation == generation {
		r.state.applyClose(conversation.Close{By: conversation.System}, workflow.Now(ctx))
		r.pendingCall = startCall(ctx, r.state.newCall(conversation.End, r.state.Closing.By))
		r.awaitCall(ctx)
		r.state.markCanceled()
	}
	r.failCloses(cause)
	r.publish(ctx)
	// There is no error: a disconnected context is not cancelled.
	_ = workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
	switch {
	case r.state.Generation != generation:
		return r.continueAsNew(ctx, r.state)
	case r.state.Outcome != nil && r.state.Next != nil:
		return r.continueAsNew(ctx, r.state.asFirst(workflow.Now(ctx)))
	case r.state.Outcome != nil:
		return temporal.NewCanceledError(*r.state.Outcome)
	default:
		return cause
	}
}

// awaitCall waits for the call in flight. It goes on applying events, and cancels the
// call if its session is over.
func (r *runner) awaitCall(ctx workflow.Context) {
	for r.pendingCall != nil {
		// There is no error: a disconnected context is not cancelled.
		_ = workflow.Await(ctx, func() bool { return r.pendingCall.done() || r.hasEvents(ctx) })
		r.completeCall(ctx)
		r.drainSignals(ctx)
		if p := r.pendingCall; p != nil && (r.state.Outcome != nil || p.call.generation != r.state.Generation) {
			r.cancelCall()
		}
	}
}
