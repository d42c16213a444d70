package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
)

// pendingCall is the one call in flight.
type pendingCall struct {
	call   call
	future workflow.Future
	cancel workflow.CancelFunc
	// cancelRequested: the call was cancelled. The workflow waits for its last attempt.
	cancelRequested bool
}

func (p *pendingCall) done() bool { return p != nil && p.future.IsReady() }

// reconcileCall starts the due call, or cancels the call in flight if it is not
// due any more. It starts no call while another one is in flight, so Inactivate
// and End never run at the same time.
func (r *runner) reconcileCall(ctx workflow.Context, due *call) {
	if historyTooLong(ctx) && len(r.closeRequests) == 0 {
		// Retries may go on for days, and a run with a call in flight cannot
		// continue as new. So cancel the call; the next run makes it again. An
		// update prevents this: it cannot move to the next run, and its caller
		// waits for this call.
		due = nil
	}
	switch {
	case r.pendingCall == nil && due != nil:
		r.pendingCall = startCall(ctx, *due)
	case r.pendingCall != nil && (due == nil || !due.same(r.pendingCall.call)):
		r.cancelCall()
	}
}

// cancelCall requests the cancellation of the call in flight, if there is one.
func (r *runner) cancelCall() {
	if r.pendingCall != nil {
		r.pendingCall.cancel()
		r.pendingCall.cancelRequested = true
	}
}

// completeCall applies the result of a call that is done.
func (r *runner) completeCall(ctx workflow.Context) {
	if !r.pendingCall.done() {
		return
	}
	p := r.pendingCall
	r.pendingCall = nil
	var answer conversation.Answer
	err := readResult(ctx, p.future, &answer)
	p.cancel()
	now := workflow.Now(ctx)
	if err != nil {
		r.state.callFailed(p.call, err, p.cancelRequested, now)
		logGivenUp(ctx, err, r.state.Blocked)
	} else {
		r.state.callSucceeded(p.call, answer, now)
	}
	r.state.Failing = nil
}

// readResult reads the result of a call. A result or failure whose key is missing fails the
// workflow task.
func readResult(ctx workflow.Context, future workflow.Future, answer *conversation.Answer) error {
	var raw converter.RawValue
	err := future.Get(ctx, &raw)
	if err == nil {
		return readJSON(raw, answer)
	}
	if failed, ok := errors.AsType[*temporal.ApplicationError](err); ok && failed.HasDetails() {
		var details converter.RawValue
		if failed.Details(&details) == nil {
			requireKey(details)
		}
	}
	return err
}

// logGivenUp logs that a call became Blocked because its time was over. The activity
// has logged an answer that needs an operator.
func logGivenUp(ctx workflow.Context, err error, blocked *conversation.Answer) {
	answered, ok := errors.AsType[*temporal.ApplicationError](err)
	if blocked == nil || ok && answered.NonRetryable() {
		return
	}
	workflow.GetLogger(ctx).Error("Call given up, an operator is needed",
		"operation", blocked.Operation, "reason", blocked.Reason, "attempt", blocked.Attempt, "requestId", blocked.RequestID)
}

func startCall(ctx workflow.Context, c call) *pendingCall {
	var do *activities.Activities
	operation := do.Inactivate
	if c.Operation == conversation.End {
		operation = do.End
	}
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	ctx = workflow.WithActivityOptions(ctx, callOptions(c))
	return &pendingCall{call: c, future: workflow.ExecuteActivity(ctx, operation, c.Request), cancel: cancel}
}

// callOptions are the options of every call to Salesforce. The workflow waits for
// a cancelled call: an attempt in flight cannot be undone. Its answer says what
// happened, and the next call must not overtake it. There is no limit on the time of all
// attempts: an org may be away or paused for days. The activity limits the requests.
//
// The fairness key and the priority are set here, because conversations are started by
// clients of every kind.
func callOptions(c call) workflow.ActivityOptions {
	priority := activities.CallPriority
	if c.hangUp {
		priority = activities.HangUpPriority
	}
	return workflow.ActivityOptions{
		StartToCloseTimeout: activities.AttemptTimeout,
		HeartbeatTimeout:    activities.HeartbeatTimeout,
		WaitForCancellation: true,
		Priority:            temporal.Priority{PriorityKey: priority, FairnessKey: c.OrgID},
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    activities.FirstRetry,
			BackoffCoefficient: 2,
			MaximumInterval:    activities.LongestRetry,
		},
		Summary: fmt.Sprintf("%s by %s", c.Operation, c.By),
	}
}
