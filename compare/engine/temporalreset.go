package engine

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/zap"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/service"
)

// temporalReset is Temporal as in the public samples: a message cancels the
// workflow's timer and starts a new one.
func temporalReset() Engine {
	return Engine{
		Key: "temporal-reset", Name: "Temporal, timer reset per message", Library: temporalLibrary,
		Open: func(ctx context.Context, setup Setup) (Instance, error) {
			server, err := startTemporal(ctx, setup)
			if err != nil {
				return nil, err
			}
			s := &resetWorker{temporalServer: server}
			if err := s.startWorker(); err != nil {
				server.close()
				return nil, fmt.Errorf("start the worker: %w", err)
			}
			return s, nil
		},
	}
}

// resetWorkflow has a timer and no other state: no phases, no search attributes.
func resetWorkflow(ctx workflow.Context, start conversation.Start) error {
	var do *activities.Activities
	idle := time.Duration(*start.Policy.WithDefaults().InactivateAfter)
	deadline := workflow.Now(ctx).Add(idle)
	err := workflow.SetQueryHandler(ctx, conversation.QueryStatus, func() (time.Time, error) { return deadline, nil })
	if err != nil {
		return err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	messages := workflow.GetSignalChannel(ctx, conversation.SignalMessage)
	closes := workflow.GetSignalChannel(ctx, conversation.SignalClose)
	end := activities.Request{Identity: start.Identity, By: conversation.EndUser}
	inactivate := activities.Request{Identity: start.Identity, By: conversation.System}
	needsTimer := true
	for open := true; open; {
		timerCtx, cancel := workflow.WithCancel(ctx)
		var err error
		selector := workflow.NewSelector(ctx).
			AddReceive(messages, func(c workflow.ReceiveChannel, _ bool) {
				c.Receive(ctx, nil)
				deadline, needsTimer = workflow.Now(ctx).Add(idle), true
			}).
			AddReceive(closes, func(c workflow.ReceiveChannel, _ bool) {
				c.Receive(ctx, nil)
				open = false
				err = workflow.ExecuteActivity(ctx, do.End, end).Get(ctx, nil)
			})
		if needsTimer {
			selector.AddFuture(workflow.NewTimer(timerCtx, idle), func(f workflow.Future) {
				needsTimer = false
				if err = f.Get(ctx, nil); err == nil {
					err = workflow.ExecuteActivity(ctx, do.Inactivate, inactivate).Get(ctx, nil)
				}
			})
		}
		selector.Select(ctx)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

type resetWorker struct {
	*temporalServer
	worker worker.Worker
}

func (s *resetWorker) startWorker() error {
	config, err := s.workerConfig()
	if err != nil {
		return err
	}
	worker.SetStickyWorkflowCacheSize(config.CachedConversations)
	polling := worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{})
	s.worker = worker.New(s.client, taskQueue, worker.Options{
		WorkflowTaskPollerBehavior: polling, ActivityTaskPollerBehavior: polling,
	})
	s.worker.RegisterWorkflow(resetWorkflow)
	s.worker.RegisterActivity(activities.New(service.NewOrgs(config, "compare", zap.NewNop())))
	return s.worker.Start()
}

type resetConversation struct {
	*resetWorker
	workflowID string
}

func startOptions(workflowID string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: workflowID, TaskQueue: taskQueue}
}

func (s *resetWorker) StartConversation(ctx context.Context, id string, at time.Time) (Conversation, error) {
	start := conversation.Start{
		Identity: identity(id), At: at,
		Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(s.setup.Idle))},
	}
	workflowID := start.WorkflowID()
	_, err := s.client.SignalWithStartWorkflow(ctx, workflowID, conversation.SignalMessage,
		conversation.Message{At: at}, startOptions(workflowID), resetWorkflow, start)
	return resetConversation{s, workflowID}, err
}

func (c resetConversation) Message(ctx context.Context, at time.Time) error {
	return c.client.SignalWorkflow(ctx, c.workflowID, "", conversation.SignalMessage, conversation.Message{At: at})
}

func (s *resetWorker) IdleDeadline(ctx context.Context, id string) (deadline time.Time, err error) {
	response, err := s.client.QueryWorkflow(ctx, identity(id).WorkflowID(), "", conversation.QueryStatus)
	if err == nil {
		err = response.Get(&deadline)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("deadline of %s: %w", id, err)
	}
	return deadline, nil
}

func (s *resetWorker) MeasureCost(ctx context.Context, chat Chat) (Cost, error) {
	signal := func(name string, payload any) func(context.Context, conversation.Start) error {
		return func(ctx context.Context, start conversation.Start) error {
			return s.client.SignalWorkflow(ctx, start.WorkflowID(), "", name, payload)
		}
	}
	return s.playChat(ctx, chat, chatEvents{
		start: func(ctx context.Context, start conversation.Start) error {
			_, err := s.client.ExecuteWorkflow(ctx, startOptions(start.WorkflowID()), resetWorkflow, start)
			return err
		},
		message: signal(conversation.SignalMessage, conversation.Message{}),
		close:   signal(conversation.SignalClose, conversation.Close{By: conversation.EndUser}),
	})
}

func (s *resetWorker) Close(context.Context) error {
	s.worker.Stop()
	s.close()
	return nil
}
