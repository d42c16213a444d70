package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisSortedSet keeps the deadlines as scores of one sorted set. A poller
// claims those that are due with a script.
func redisSortedSet() Engine {
	return Engine{
		Key: "redis", Name: "Redis sorted set, Lua claim", Library: "github.com/redis/go-redis/v9",
		Open: func(ctx context.Context, setup Setup) (Session, error) {
			client := setup.Stores.Redis.Client()
			if err := errors.Join(client.FlushAll(ctx).Err(), claimScript.Load(ctx, client).Err(), doneScript.Load(ctx, client).Err()); err != nil {
				return nil, errors.Join(fmt.Errorf("prepare Redis: %w", err), client.Close())
			}
			s := &sortedSet{client: client, setup: setup}
			s.poller = poll(ctx, sortedSetEvery, s.claim)
			return s, nil
		},
	}
}

const (
	// deadlines is the key of the sorted set: members are conversations, scores
	// are their deadlines in Unix milliseconds.
	deadlines = "deadlines"
	// claimed is the most that one claim takes.
	claimed        = 256
	sortedSetEvery = 20 * time.Millisecond
	// lease is the time for a call. When the poller that claimed a conversation
	// dies, another one claims it after that.
	lease = 30 * time.Second
)

// claimScript moves what is due to the end of its lease, and returns it with
// that: the score by which doneScript recognises that nothing came since.
var claimScript = redis.NewScript(`
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, member in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], member) end
return due`)

// doneScript removes a conversation that was called for, unless a message has
// moved it since.
var doneScript = redis.NewScript(`
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('ZREM', KEYS[1], ARGV[1]) end
return 0`)

type sortedSet struct {
	client *redis.Client
	setup  Setup
	poller *poller
}

type sortedSetMember struct {
	*sortedSet
	id string
}

func (s *sortedSet) Begin(ctx context.Context, id string, at time.Time) (Conversation, error) {
	c := sortedSetMember{s, id}
	return c, c.Message(ctx, at)
}

// Message is one command, ZADD.
func (c sortedSetMember) Message(ctx context.Context, at time.Time) error {
	return c.client.ZAdd(ctx, deadlines, redis.Z{Member: c.id, Score: float64(milliseconds(at.Add(c.setup.Idle)))}).Err()
}

// milliseconds rounds up, so that nothing is called early.
func milliseconds(t time.Time) int64 {
	return t.Add(time.Millisecond - time.Nanosecond).UnixMilli()
}

// claim calls for one batch of what is due.
func (s *sortedSet) claim(ctx context.Context) (more bool, err error) {
	now := time.Now()
	until := milliseconds(now.Add(lease))
	due, err := claimScript.Run(ctx, s.client, []string{deadlines}, now.UnixMilli(), until, claimed).StringSlice()
	if err != nil {
		return false, fmt.Errorf("claim: %w", err)
	}
	var group sync.WaitGroup
	for _, id := range due {
		group.Go(func() {
			// A call that fails is made again when the lease ends.
			if s.setup.Call(ctx, id) == nil {
				_ = doneScript.Run(ctx, s.client, []string{deadlines}, id, strconv.FormatInt(until, 10)).Err()
			}
		})
	}
	group.Wait()
	return len(due) == claimed, nil
}

func (s *sortedSet) Due(ctx context.Context, id string) (time.Time, error) {
	score, err := s.client.ZScore(ctx, deadlines, id).Result()
	if errors.Is(err, redis.Nil) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("deadline of %s: %w", id, err)
	}
	return time.UnixMilli(int64(score)), nil
}

func (s *sortedSet) Stored(ctx context.Context) (int64, error) { return s.setup.Stores.Redis.Size(ctx) }

func (s *sortedSet) Close(context.Context) error {
	return errors.Join(s.poller.stop(), s.client.Close())
}
