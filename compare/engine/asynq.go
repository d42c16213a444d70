package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

const asynqTaskType = "idle"

// asynqTask is asynq with one scheduled task for each conversation, with the
// fastest and most exact settings that we found.
//
// asynq cannot move a task. Of the workarounds in its issue 649
// (https://github.com/hibiken/asynq/issues/649) this is the cheapest for a
// message: a message writes only its idle deadline to a key beside the task,
// which is one command. The task reads the deadline when it runs. If it runs too
// early, it asks to be run again at the deadline, which does not count as a
// failure.
//
// asynq looks for due tasks 50 times as often as by default. Times are rounded
// up to asynq's whole seconds: a call is late by at most a second, never early.
func asynqTask() Engine {
	return Engine{
		Key: "asynq", Name: "asynq", Library: "github.com/hibiken/asynq",
		Open: func(ctx context.Context, setup Setup) (Instance, error) {
			client := setup.Stores.Redis.Client()
			if err := errors.Join(client.FlushAll(ctx).Err(), deleteDeadlineScript.Load(ctx, client).Err()); err != nil {
				return nil, errors.Join(fmt.Errorf("prepare Redis: %w", err), client.Close())
			}
			s := &asynqTasks{setup: setup, redis: client, client: asynq.NewClientFromRedisClient(client)}
			s.server = asynq.NewServerFromRedisClient(client, asynq.Config{
				LogLevel: asynq.FatalLevel, Concurrency: maxParallelCalls,
				DelayedTaskCheckInterval: 100 * time.Millisecond, TaskCheckInterval: 20 * time.Millisecond,
				IsFailure: func(err error) bool {
					_, early := errors.AsType[tooEarlyError](err)
					return !early
				},
				RetryDelayFunc: func(n int, err error, task *asynq.Task) time.Duration {
					if early, ok := errors.AsType[tooEarlyError](err); ok {
						return time.Until(roundUpToSecond(early.deadline))
					}
					return asynq.DefaultRetryDelayFunc(n, err, task)
				},
			})
			if err := s.server.Start(asynq.HandlerFunc(s.runTask)); err != nil {
				return nil, errors.Join(fmt.Errorf("start asynq: %w", err), client.Close())
			}
			return s, nil
		},
	}
}

// tooEarlyError is what a task returns when a message has moved its deadline.
type tooEarlyError struct{ deadline time.Time }

func (e tooEarlyError) Error() string { return "too early: the deadline is " + e.deadline.String() }

func roundUpToSecond(t time.Time) time.Time {
	return t.Add(time.Second - time.Nanosecond).Truncate(time.Second)
}

// deleteDeadlineScript deletes a deadline after its call and returns 1. It
// returns 0 when a message has moved the deadline since the task read it.
var deleteDeadlineScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1`)

type asynqTasks struct {
	setup  Setup
	redis  *redis.Client
	client *asynq.Client
	server *asynq.Server
}

type asynqConversation struct {
	*asynqTasks
	id, key string
}

// deadlineKey is the key of a conversation's deadline, in Unix milliseconds. It
// exists as long as the conversation has a task.
func deadlineKey(id string) string { return "deadline:" + id }

func (s *asynqTasks) StartConversation(ctx context.Context, id string, at time.Time) (Conversation, error) {
	c := asynqConversation{s, id, deadlineKey(id)}
	return c, c.Message(ctx, at)
}

func (c asynqConversation) Message(ctx context.Context, at time.Time) error {
	deadline := at.Add(c.setup.Idle)
	value := strconv.FormatInt(unixMilliRoundedUp(deadline), 10)
	err := c.redis.SetArgs(ctx, c.key, value, redis.SetArgs{Mode: "XX"}).Err()
	if !errors.Is(err, redis.Nil) {
		return err
	}
	// The task comes first: a task without a deadline does nothing, but a
	// deadline without a task would never lead to a call.
	task := asynq.NewTask(asynqTaskType, []byte(c.id))
	if _, err := c.client.EnqueueContext(ctx, task, asynq.ProcessAt(roundUpToSecond(deadline))); err != nil {
		return err
	}
	return c.redis.Set(ctx, c.key, value, 0).Err()
}

// runTask makes the idle call when the deadline is reached.
func (s *asynqTasks) runTask(ctx context.Context, task *asynq.Task) error {
	id := string(task.Payload())
	deadline, err := s.IdleDeadline(ctx, id)
	if err != nil || deadline.IsZero() {
		return err
	}
	if time.Now().Before(deadline) {
		return tooEarlyError{deadline}
	}
	if err := s.setup.Call(ctx, id); err != nil {
		return err
	}
	value := strconv.FormatInt(deadline.UnixMilli(), 10)
	deleted, err := deleteDeadlineScript.Run(ctx, s.redis, []string{deadlineKey(id)}, value).Int()
	if err != nil {
		return fmt.Errorf("delete the deadline of %s: %w", id, err)
	}
	if deleted == 0 { // a message came during the call
		return s.runTask(ctx, task)
	}
	return nil
}

func (s *asynqTasks) IdleDeadline(ctx context.Context, id string) (time.Time, error) {
	value, err := s.redis.Get(ctx, deadlineKey(id)).Int64()
	if errors.Is(err, redis.Nil) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("deadline of %s: %w", id, err)
	}
	return time.UnixMilli(value), nil
}

func (s *asynqTasks) StoredBytes(ctx context.Context) (int64, error) {
	return s.setup.Stores.Redis.Size(ctx)
}

func (s *asynqTasks) Close(context.Context) error {
	s.server.Shutdown()
	return s.redis.Close()
}
