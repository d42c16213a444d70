package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

const (
	asynqTask  = "idle"
	asynqQueue = "default"
)

// asynqDefault is asynq as it comes, with a scheduled task for each
// conversation. It cannot move a task, so a message deletes the task and
// enqueues it with the new time, as its users do
// (https://github.com/hibiken/asynq/issues/649). It keeps times in whole
// seconds, cut off, and so fires up to a second early.
func asynqDefault() Engine {
	return Engine{
		Key: "asynq", Name: "asynq", Library: "github.com/hibiken/asynq", Grain: time.Second,
		Open: func(ctx context.Context, setup Setup) (Session, error) {
			client := setup.Stores.Redis.Client()
			if err := client.FlushAll(ctx).Err(); err != nil {
				return nil, errors.Join(fmt.Errorf("empty Redis: %w", err), client.Close())
			}
			s := &movedTasks{
				setup: setup, redis: client,
				client: asynq.NewClientFromRedisClient(client), inspector: asynq.NewInspectorFromRedisClient(client),
				server: asynq.NewServerFromRedisClient(client, asynq.Config{LogLevel: asynq.FatalLevel}),
			}
			err := s.server.Start(asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
				return setup.Call(ctx, string(task.Payload()))
			}))
			if err != nil {
				return nil, errors.Join(fmt.Errorf("start asynq: %w", err), client.Close())
			}
			return s, nil
		},
	}
}

type movedTasks struct {
	setup     Setup
	redis     *redis.Client
	client    *asynq.Client
	inspector *asynq.Inspector
	server    *asynq.Server
}

type movedTask struct {
	*movedTasks
	id string
}

func (s *movedTasks) Begin(ctx context.Context, id string, at time.Time) (Conversation, error) {
	c := movedTask{s, id}
	return c, c.Message(ctx, at)
}

func (c movedTask) Message(ctx context.Context, at time.Time) error {
	for {
		err := c.inspector.DeleteTask(asynqQueue, c.id)
		if err == nil || errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound) {
			err = c.enqueue(ctx, at)
		}
		if err == nil {
			return nil
		}
		// The call is under way: asynq deletes no task that is active. After it
		// there is room for the next one.
		if info, lookErr := c.inspector.GetTaskInfo(asynqQueue, c.id); lookErr == nil && info.State != asynq.TaskStateActive {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(time.Millisecond):
		}
	}
}

func (c movedTask) enqueue(ctx context.Context, at time.Time) error {
	_, err := c.client.EnqueueContext(ctx, asynq.NewTask(asynqTask, []byte(c.id)),
		asynq.TaskID(c.id), asynq.ProcessAt(at.Add(c.setup.Idle)))
	return err
}

func (s *movedTasks) Due(_ context.Context, id string) (time.Time, error) {
	info, err := s.inspector.GetTaskInfo(asynqQueue, id)
	if errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("task %s: %w", id, err)
	}
	return info.NextProcessAt, nil
}

func (s *movedTasks) Stored(ctx context.Context) (int64, error) {
	return s.setup.Stores.Redis.Size(ctx)
}

func (s *movedTasks) Close(context.Context) error {
	s.server.Shutdown()
	return s.redis.Close()
}
