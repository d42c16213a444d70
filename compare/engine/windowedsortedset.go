package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"go.temporal.io/sdk/client"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

// windowedSortedSet is the sorted set of [redisSortedSet] with sessionkeeper's
// sender in front of it. The sender absorbs the messages within a window and
// reports once per window, as it does for Temporal, but each report is a ZADD.
// It shows which part of the difference comes from the window, and which from
// what keeps the clock.
func windowedSortedSet() Engine {
	return Engine{
		Key: "redis-window", Name: "Redis sorted set, our windows", Library: "github.com/redis/go-redis/v9",
		Open: func(ctx context.Context, setup Setup) (Instance, error) {
			set, err := openSortedSet(ctx, setup)
			if err != nil {
				return nil, err
			}
			s := &windowedSet{sortedSet: set}
			s.sender = s.newSender() //nolint:contextcheck // the sender outlives the call that opens the engine
			return s, nil
		},
	}
}

type windowedSet struct {
	*sortedSet
	sender *sender.Sender
}

func (s *windowedSet) newSender() *sender.Sender {
	return sender.New(sortedSetReports{set: s.sortedSet}, sender.Options{Policy: idlePolicy(s.setup.Idle)})
}

// sortedSetReports writes the sender's reports to the sorted set instead of
// Temporal. It has only the two methods of the client that the sender calls to
// report messages. Any other method panics.
type sortedSetReports struct {
	client.Client
	set *sortedSet
}

// SignalWithStartWorkflow takes a report with a new message.
func (r sortedSetReports) SignalWithStartWorkflow(
	ctx context.Context, workflowID, _ string, message any, _ client.StartWorkflowOptions, _ any, _ ...any,
) (client.WorkflowRun, error) {
	member, err := r.set.report(workflowID, message)
	if err != nil {
		return nil, err
	}
	return nil, r.set.client.ZAdd(ctx, deadlinesKey, member).Err()
}

// SignalWorkflow takes a report that releases the lease, which changes only a
// conversation that the set has.
func (r sortedSetReports) SignalWorkflow(ctx context.Context, workflowID, _, _ string, message any) error {
	member, err := r.set.report(workflowID, message)
	if err != nil {
		return err
	}
	return r.set.client.ZAddXX(ctx, deadlinesKey, member).Err()
}

// report is the member for a report: as in the workflow, the conversation counts
// as active until the end of the lease.
func (s *sortedSet) report(workflowID string, message any) (redis.Z, error) {
	id, err := conversation.ParseWorkflowID(workflowID)
	if err != nil {
		return redis.Z{}, fmt.Errorf("report: %w", err)
	}
	m, ok := message.(conversation.Message)
	if !ok {
		return redis.Z{}, fmt.Errorf("report of %T, which is no message", message)
	}
	return s.member(id.ConversationIdentifier, m.At.Add(time.Duration(m.Lease.Duration))), nil
}

type windowedSetConversation struct {
	*windowedSet
	id conversation.Identity
}

func (s *windowedSet) StartConversation(ctx context.Context, id string, at time.Time) (Conversation, error) {
	c := windowedSetConversation{s, identity(id)}
	return c, c.Message(ctx, at)
}

func (c windowedSetConversation) Message(ctx context.Context, at time.Time) error {
	_, err := c.sender.Message(ctx, c.id, conversation.Message{At: at})
	return err
}

// Flush closes the sender, which reports everything that it has absorbed, and
// replaces it by a new one.
func (s *windowedSet) Flush(ctx context.Context) error {
	full := s.sender
	s.sender = s.newSender() //nolint:contextcheck // the sender outlives this call
	return full.Close(ctx)
}

func (s *windowedSet) Close(ctx context.Context) error {
	return errors.Join(s.sender.Close(ctx), s.sortedSet.Close(ctx))
}
