package engine

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
)

// resetPerMessage is Temporal in the way of the public samples: a message
// cancels the timer and starts another one.
func resetPerMessage() Engine {
	return Engine{
		Key: "temporal-reset", Name: "Temporal, timer reset per message", Library: temporalLibrary,
		Open: func(ctx context.Context, setup Setup) (Session, error) {
			rig, err := startTemporal(ctx, setup)
			if err != nil {
				return nil, err
			}
			s := &resets{temporalRig: rig}
			if err := s.work(); err != nil {
				rig.close()
				return nil, fmt.Errorf("start the worker: %w", err)
			}
			return s, nil
		},
	}
}

// resetWorkflow is the workflow. It keeps no phases, search attributes or state
// beyond its timer.
func resetWorkflow(ctx workflow.Context, start conversation.Start) error {
	var do *activities.Activities
	idle := time.Duration(*start.Policy.WithDefaults().InactivateAfter)
	due := workflow.Now(ctx).Add(idle)
	if err := workflow.SetQueryHandler(ctx, conversation.QueryStatus, func() (time.Time, error) { return due, nil }); err != nil {
		return err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	messages := workflow.GetSignalChannel(ctx, conversation.SignalMessage)
	closes := workflow.GetSignalChannel(ctx, conversation.SignalClose)
	armed := true
	for open := true; open; {
		timerCtx, cancel := workflow.WithCancel(ctx)
		var err error
		choice := workflow.NewSelector(ctx).
			AddReceive(messages, func(c workflow.ReceiveChannel, _ bool) {
				c.Receive(ctx, nil)
				due, armed = workflow.Now(ctx).Add(idle), true
			}).
			AddReceive(closes, func(c workflow.ReceiveChannel, _ bool) {
				c.Receive(ctx, nil)
				open = false
				err = workflow.ExecuteActivity(ctx, do.End, activities.Request{Identity: start.Identity, By: conversation.EndUser}).Get(ctx, nil)
			})
		if armed {
			choice.AddFuture(workflow.NewTimer(timerCtx, idle), func(f workflow.Future) {
				armed = false
				if err = f.Get(ctx, nil); err == nil {
					err = workflow.ExecuteActivity(ctx, do.Inactivate, activities.Request{Identity: start.Identity, By: conversation.System}).Get(ctx, nil)
				}
			})
		}
		choice.Select(ctx)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

type resets struct {
	*temporalRig
	worker worker.Worker
}

func (s *resets) work() error {
	config, err := s.workerConfig()
	if err != nil {
		return err
	}
	clients, err := config.Clients("bench")
	if err != nil {
		return err
	}
	worker.SetStickyWorkflowCacheSize(config.CachedConversations)
	s.worker = worker.New(s.client, taskQueue, worker.Options{
		WorkflowTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		ActivityTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
	})
	s.worker.RegisterWorkflow(resetWorkflow)
	s.worker.RegisterActivity(activities.New(clients))
	return s.worker.Start()
}

type resetConversation struct {
	*resets
	workflowID string
}

func (s *resets) Begin(ctx context.Context, id string, at time.Time) (Conversation, error) {
	start := conversation.Start{
		Identity: identity(id), At: at,
		Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(s.setup.Idle))},
	}
	return resetConversation{s, start.WorkflowID()}, s.tell(ctx, start, conversation.Message{At: at})
}

func (s *resets) tell(ctx context.Context, start conversation.Start, m conversation.Message) error {
	_, err := s.client.SignalWithStartWorkflow(ctx, start.WorkflowID(), conversation.SignalMessage, m,
		client.StartWorkflowOptions{ID: start.WorkflowID(), TaskQueue: taskQueue}, resetWorkflow, start)
	return err
}

func (c resetConversation) Message(ctx context.Context, at time.Time) error {
	return c.client.SignalWorkflow(ctx, c.workflowID, "", conversation.SignalMessage, conversation.Message{At: at})
}

func (s *resets) Due(ctx context.Context, id string) (due time.Time, err error) {
	answer, err := s.client.QueryWorkflow(ctx, identity(id).WorkflowID(), "", conversation.QueryStatus)
	if err == nil {
		err = answer.Get(&due)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("deadline of %s: %w", id, err)
	}
	return due, nil
}

func (s *resets) Cost(ctx context.Context, chat Chat) (Cost, error) {
	signal := func(name string, payload any) func(context.Context, conversation.Start) error {
		return func(ctx context.Context, start conversation.Start) error {
			return s.client.SignalWorkflow(ctx, start.WorkflowID(), "", name, payload)
		}
	}
	return s.play(ctx, chat, played{
		begin: func(ctx context.Context, start conversation.Start) error {
			_, err := s.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: start.WorkflowID(), TaskQueue: taskQueue}, resetWorkflow, start)
			return err
		},
		message: signal(conversation.SignalMessage, conversation.Message{}),
		hangUp:  signal(conversation.SignalClose, conversation.Close{By: conversation.EndUser}),
	})
}

func (s *resets) Close(context.Context) error {
	s.worker.Stop()
	s.close()
	return nil
}
