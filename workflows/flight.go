package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
)

// flight is the one call in the air.
type flight struct {
	call   call
	future workflow.Future
	cancel workflow.CancelFunc
	// recalled: it was cancelled, and its last attempt is awaited.
	recalled bool
}

func (f *flight) landed() bool { return f != nil && f.future.IsReady() }

// direct brings what is in the air in line with what is due: nothing is made
// while another call is in the air, so Inactivate and End never run at once.
func (k *keeper) direct(ctx workflow.Context, now time.Time) {
	due, isDue := k.state.due(now)
	if k.crowded(ctx) && len(k.waiting) == 0 {
		isDue = false
	}
	switch {
	case k.flight == nil && isDue:
		k.flight = take(ctx, due)
	case k.flight != nil && !k.flight.recalled && (!isDue || !due.same(k.flight.call)):
		k.flight.cancel()
		k.flight.recalled = true
	}
}

// land takes in the result of a call that has come back.
func (k *keeper) land(ctx workflow.Context) {
	if !k.flight.landed() {
		return
	}
	f := k.flight
	k.flight = nil
	var answer conversation.Answer
	err := f.future.Get(ctx, &answer)
	f.cancel()
	now := workflow.Now(ctx)
	if err != nil {
		k.state.failed(f.call, err, f.recalled, now)
		return
	}
	k.state.succeeded(f.call, answer, now)
}

func take(ctx workflow.Context, c call) *flight {
	var do *activities.Activities
	operation := do.Inactivate
	if c.Operation == conversation.End {
		operation = do.End
	}
	ctx, cancel := workflow.WithCancel(ctx)
	ctx = workflow.WithActivityOptions(ctx, calling(c))
	return &flight{call: c, future: workflow.ExecuteActivity(ctx, operation, c.Request), cancel: cancel}
}

// calling are the options of every call to Salesforce. An attempt holds at most
// two HTTP requests and two token requests. A cancelled call is awaited: an
// attempt in the air cannot be taken back, but its answer is the truth, and the
// next call must not overtake it.
func calling(c call) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		StartToCloseTimeout:    45 * time.Second,
		ScheduleToCloseTimeout: 24 * time.Hour,
		WaitForCancellation:    true,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    time.Second,
			BackoffCoefficient: 2,
			MaximumInterval:    time.Minute,
		},
		Summary: fmt.Sprintf("%s by %s", c.Operation, c.By),
	}
}
