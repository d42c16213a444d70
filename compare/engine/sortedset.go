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

// redisSortedSet keeps the idle deadlines as the scores of one sorted set. A
// poller claims those that are due with a script.
func redisSortedSet() Engine {
	return Engine{
		Key: "redis", Name: "Redis sorted set, Lua claim", Library: "github.com/redis/go-redis/v9",
		Open: func(ctx context.Context, setup Setup) (Instance, error) { return openSortedSet(ctx, setup) },
	}
}

func openSortedSet(ctx context.Context, setup Setup) (*sortedSet, error) {
	client := setup.Stores.Redis.Client()
	err := errors.Join(client.FlushAll(ctx).Err(),
		claimScript.Load(ctx, client).Err(), removeCalledScript.Load(ctx, client).Err())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare Redis: %w", err), client.Close())
	}
	s := &sortedSet{client: client, setup: setup}
	s.poller = startPoller(ctx, claimInterval, s.claim)
	return s, nil
}

const (
	// deadlinesKey is the key of the sorted set. Its members are conversations,
	// their scores are idle deadlines in Unix milliseconds.
	deadlinesKey = "deadlines"
	// maxClaimed is how many conversations one claim takes at most.
	maxClaimed    = 256
	claimInterval = 20 * time.Millisecond
	// claimTimeout is the time for a call. When the poller that claimed a
	// conversation dies, another poller may claim it after that time.
	claimTimeout = 30 * time.Second
)

// claimScript returns the members that are due, and sets their scores to the end
// of the claim. removeCalledScript compares with that score.
var claimScript = redis.NewScript(`
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, member in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], member) end
return due`)

// removeCalledScript removes a conversation after its call, unless a message has
// moved its deadline since the claim.
var removeCalledScript = redis.NewScript(`
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('ZREM', KEYS[1], ARGV[1]) end
return 0`)

type sortedSet struct {
	client *redis.Client
	setup  Setup
	poller *poller
}

type sortedSetConversation struct {
	*sortedSet
	id string
}

func (s *sortedSet) StartConversation(ctx context.Context, id string, at time.Time) (Conversation, error) {
	c := sortedSetConversation{s, id}
	return c, c.Message(ctx, at)
}

// Message is one command, ZADD.
func (c sortedSetConversation) Message(ctx context.Context, at time.Time) error {
	return c.client.ZAdd(ctx, deadlinesKey, c.member(c.id, at)).Err()
}

// member is a conversation that is active until a time.
func (s *sortedSet) member(id string, activeUntil time.Time) redis.Z {
	return redis.Z{Member: id, Score: float64(unixMilliRoundedUp(activeUntil.Add(s.setup.Idle)))}
}

// unixMilliRoundedUp rounds up, so that no call is early.
func unixMilliRoundedUp(t time.Time) int64 {
	return t.Add(time.Millisecond - time.Nanosecond).UnixMilli()
}

// claim makes the calls of one batch of conversations that are due.
func (s *sortedSet) claim(ctx context.Context) (more bool, err error) {
	now := time.Now()
	until := unixMilliRoundedUp(now.Add(claimTimeout))
	keys := []string{deadlinesKey}
	due, err := claimScript.Run(ctx, s.client, keys, now.UnixMilli(), until, maxClaimed).StringSlice()
	if err != nil {
		return false, fmt.Errorf("claim: %w", err)
	}
	var group sync.WaitGroup
	for _, id := range due {
		group.Go(func() {
			// A call that fails is made again when the claim ends.
			if s.setup.Call(ctx, id) == nil {
				_ = removeCalledScript.Run(ctx, s.client, keys, id, strconv.FormatInt(until, 10)).Err()
			}
		})
	}
	group.Wait()
	return len(due) == maxClaimed, nil
}

func (s *sortedSet) IdleDeadline(ctx context.Context, id string) (time.Time, error) {
	score, err := s.client.ZScore(ctx, deadlinesKey, id).Result()
	if errors.Is(err, redis.Nil) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("deadline of %s: %w", id, err)
	}
	return time.UnixMilli(int64(score)), nil
}

func (s *sortedSet) StoredBytes(ctx context.Context) (int64, error) {
	return s.setup.Stores.Redis.Size(ctx)
}

func (s *sortedSet) Close(context.Context) error {
	return errors.Join(s.poller.stop(), s.client.Close())
}
