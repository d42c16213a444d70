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

// asynqTuned is the fastest and most exact we could make of asynq. A message
// writes only its deadline beside the task, one command. The task looks there
// when it runs and, when it is too early, asks to be run again at the deadline,
// which does not count as a failure: of the workarounds that asynq's issue 649
// names, the one that costs a message least. Tasks are looked for 50 times as
// often as by default, and times are rounded up to asynq's whole seconds: late
// by a second at most rather than early.
func asynqTuned() Engine {
	return Engine{
		Key: "asynq-tuned", Name: "asynq, tuned", Library: "github.com/hibiken/asynq",
		Open: func(ctx context.Context, setup Setup) (Session, error) {
			client := setup.Stores.Redis.Client()
			if err := errors.Join(client.FlushAll(ctx).Err(), forgetScript.Load(ctx, client).Err()); err != nil {
				return nil, errors.Join(fmt.Errorf("prepare Redis: %w", err), client.Close())
			}
			s := &notedTasks{setup: setup, redis: client, client: asynq.NewClientFromRedisClient(client)}
			s.server = asynq.NewServerFromRedisClient(client, asynq.Config{
				LogLevel:    asynq.FatalLevel,
				Concurrency: callers, DelayedTaskCheckInterval: 100 * time.Millisecond, TaskCheckInterval: 20 * time.Millisecond,
				IsFailure: func(err error) bool { return !errors.As(err, new(tooEarly)) },
				RetryDelayFunc: func(n int, err error, task *asynq.Task) time.Duration {
					if early, ok := errors.AsType[tooEarly](err); ok {
						return time.Until(wholeSecond(early.due))
					}
					return asynq.DefaultRetryDelayFunc(n, err, task)
				},
			})
			if err := s.server.Start(asynq.HandlerFunc(s.run)); err != nil {
				return nil, errors.Join(fmt.Errorf("start asynq: %w", err), client.Close())
			}
			return s, nil
		},
	}
}

// tooEarly is a task's answer when a message has moved its deadline.
type tooEarly struct{ due time.Time }

func (e tooEarly) Error() string { return "not before " + e.due.String() }

// wholeSecond rounds up.
func wholeSecond(t time.Time) time.Time {
	return t.Add(time.Second - time.Nanosecond).Truncate(time.Second)
}

// forgetScript removes a deadline that was called for, unless a message has
// moved it since: it tells which.
var forgetScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1`)

type notedTasks struct {
	setup  Setup
	redis  *redis.Client
	client *asynq.Client
	server *asynq.Server
}

type notedTask struct {
	*notedTasks
	id, key string
}

// deadlineKey is where the deadline is, in Unix milliseconds, as long as there
// is a task that looks after it.
func deadlineKey(id string) string { return "deadline:" + id }

func (s *notedTasks) Begin(ctx context.Context, id string, at time.Time) (Conversation, error) {
	c := notedTask{s, id, deadlineKey(id)}
	return c, c.Message(ctx, at)
}

func (c notedTask) Message(ctx context.Context, at time.Time) error {
	due := at.Add(c.setup.Idle)
	note := strconv.FormatInt(milliseconds(due), 10)
	err := c.redis.SetArgs(ctx, c.key, note, redis.SetArgs{Mode: "XX"}).Err()
	if !errors.Is(err, redis.Nil) {
		return err
	}
	// The task first: a task without a deadline does nothing, a deadline without
	// a task would be forgotten.
	task := asynq.NewTask(asynqTask, []byte(c.id))
	if _, err := c.client.EnqueueContext(ctx, task, asynq.ProcessAt(wholeSecond(due))); err != nil {
		return err
	}
	return c.redis.Set(ctx, c.key, note, 0).Err()
}

// run is the task.
func (s *notedTasks) run(ctx context.Context, task *asynq.Task) error {
	id := string(task.Payload())
	due, err := s.Due(ctx, id)
	if err != nil || due.IsZero() {
		return err
	}
	if time.Now().Before(due) {
		return tooEarly{due}
	}
	if err := s.setup.Call(ctx, id); err != nil {
		return err
	}
	forgotten, err := forgetScript.Run(ctx, s.redis, []string{deadlineKey(id)}, strconv.FormatInt(due.UnixMilli(), 10)).Int()
	if err != nil {
		return fmt.Errorf("forget %s: %w", id, err)
	}
	if forgotten == 0 { // a message came during the call
		return s.run(ctx, task)
	}
	return nil
}

func (s *notedTasks) Due(ctx context.Context, id string) (time.Time, error) {
	note, err := s.redis.Get(ctx, deadlineKey(id)).Int64()
	if errors.Is(err, redis.Nil) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("deadline of %s: %w", id, err)
	}
	return time.UnixMilli(note), nil
}

func (s *notedTasks) Stored(ctx context.Context) (int64, error) {
	return s.setup.Stores.Redis.Size(ctx)
}

func (s *notedTasks) Close(context.Context) error {
	s.server.Shutdown()
	return s.redis.Close()
}
