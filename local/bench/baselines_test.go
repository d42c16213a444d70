package bench_test

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
)

// resetPerMessage is the design of the public samples: each message cancels the
// timer and starts another one.
func resetPerMessage(ctx workflow.Context, start conversation.Start) error {
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
				err = end(ctx, start)
			}).
			AddFuture(workflow.NewTimer(timerCtx, idle), func(f workflow.Future) {
				if err = f.Get(ctx, nil); err == nil {
					request := activities.Request{Identity: start.Identity, By: conversation.System}
					var activity *activities.Activities
					err = workflow.ExecuteActivity(ctx, activity.Inactivate, request).Get(ctx, nil)
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

// smallest is the smallest workflow that makes the call on a hang-up.
func smallest(ctx workflow.Context, start conversation.Start) error {
	workflow.GetSignalChannel(ctx, conversation.SignalClose).Receive(ctx, nil)
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	return end(ctx, start)
}

func end(ctx workflow.Context, start conversation.Start) error {
	var activity *activities.Activities
	request := activities.Request{Identity: start.Identity, By: conversation.EndUser}
	return workflow.ExecuteActivity(ctx, activity.End, request).Get(ctx, nil)
}
