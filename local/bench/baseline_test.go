package bench_test

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
)

// resetPerMessage is the design of every public sample: cancel the timer and
// start another one for each message.
func resetPerMessage(ctx workflow.Context, start conversation.Start) error {
	var do *activities.Activities
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	messages := workflow.GetSignalChannel(ctx, conversation.SignalMessage)
	closes := workflow.GetSignalChannel(ctx, conversation.SignalClose)
	idle := time.Duration(*start.Policy.WithDefaults().InactivateAfter)
	for open := true; open; {
		timerCtx, cancel := workflow.WithCancel(ctx)
		var err error
		workflow.NewSelector(ctx).
			AddReceive(messages, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) }).
			AddReceive(closes, func(c workflow.ReceiveChannel, _ bool) {
				c.Receive(ctx, nil)
				open = false
				err = workflow.ExecuteActivity(ctx, do.End, activities.Request{Identity: start.Identity, By: conversation.EndUser}).Get(ctx, nil)
			}).
			AddFuture(workflow.NewTimer(timerCtx, idle), func(f workflow.Future) {
				if err = f.Get(ctx, nil); err == nil {
					err = workflow.ExecuteActivity(ctx, do.Inactivate, activities.Request{Identity: start.Identity, By: conversation.System}).Get(ctx, nil)
				}
			}).
			Select(ctx)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// smallest is the least workflow that makes the call on a hang-up.
func smallest(ctx workflow.Context, start conversation.Start) error {
	var do *activities.Activities
	workflow.GetSignalChannel(ctx, conversation.SignalClose).Receive(ctx, nil)
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	return workflow.ExecuteActivity(ctx, do.End, activities.Request{Identity: start.Identity, By: conversation.EndUser}).Get(ctx, nil)
}
