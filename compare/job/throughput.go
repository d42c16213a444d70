package job

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"sessionkeeper/compare/engine"
)

// startedConversation has the time of its last acknowledged message.
type startedConversation struct {
	engine.Conversation
	id          string
	lastMessage time.Time
}

// startConversations starts conversations. Those that were started before get a
// message.
func (m *measurement) startConversations(
	ctx context.Context, instance engine.Instance, count int,
) ([]*startedConversation, error) {
	conversations := make([]*startedConversation, count)
	err := m.inParallel(ctx, func(ctx context.Context, sender int) error {
		for i := sender; i < count; i += m.plan.Senders {
			c := &startedConversation{id: fmt.Sprintf("conversation-%d", i), lastMessage: time.Now()}
			var err error
			if c.Conversation, err = instance.StartConversation(ctx, c.id, c.lastMessage); err != nil {
				return fmt.Errorf("start %s: %w", c.id, err)
			}
			conversations[i] = c
		}
		return nil
	})
	return conversations, err
}

// inParallel runs do once for every sender, at the same time.
func (m *measurement) inParallel(ctx context.Context, do func(ctx context.Context, sender int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for sender := range m.plan.Senders {
		group.Go(func() error { return do(ctx, sender) })
	}
	return group.Wait()
}

// measureThroughput sends messages to conversations that were started, as fast
// as they are acknowledged. The first message that fails ends it.
func (m *measurement) measureThroughput(
	ctx context.Context, instance engine.Instance, conversations []*startedConversation,
) (Throughput, error) {
	before, err := cpuTime(m.servers)
	if err != nil {
		return Throughput{}, err
	}
	began := time.Now()
	until := began.Add(m.plan.Duration)
	sent := make([]int64, m.plan.Senders)
	err = m.inParallel(ctx, func(ctx context.Context, sender int) error {
		var count int64
		defer func() { sent[sender] = count }()
		for {
			for i := sender; i < len(conversations); i += m.plan.Senders {
				now := time.Now()
				if now.After(until) {
					return nil
				}
				if err := conversations[i].Message(ctx, now); err != nil {
					return fmt.Errorf("message of %s: %w", conversations[i].id, err)
				}
				conversations[i].lastMessage = now
				count++
			}
		}
	})
	if err != nil {
		return Throughput{}, err
	}
	result := Throughput{Conversations: len(conversations), Took: time.Since(began)}
	for _, count := range sent {
		result.Messages += count
	}
	if result.CatchUp, err = m.waitForCatchUp(ctx, instance); err != nil {
		return Throughput{}, err
	}
	after, err := cpuTime(m.servers)
	if err != nil {
		return Throughput{}, err
	}
	result.CPU = after - before
	err = m.checkDeadlines(ctx, instance, conversations, &result)
	return result, err
}

// waitForCatchUp returns when the engine has processed everything that it has
// acknowledged, with the time until then.
func (m *measurement) waitForCatchUp(ctx context.Context, instance engine.Instance) (time.Duration, error) {
	began := time.Now()
	if f, ok := instance.(engine.Flusher); ok {
		if err := f.Flush(ctx); err != nil {
			return 0, fmt.Errorf("flush: %w", err)
		}
	}
	flushed := time.Since(began)
	busy, err := waitForNoLoad(ctx, m.servers)
	return flushed + busy, err
}

// maxChecked is about how many conversations are checked.
const maxChecked = 200

// checkDeadlines counts the conversations whose stored deadline does not include
// their last message.
func (m *measurement) checkDeadlines(
	ctx context.Context, instance engine.Instance, conversations []*startedConversation, result *Throughput,
) error {
	for i := 0; i < len(conversations); i += max(1, len(conversations)/maxChecked) {
		deadline, err := instance.IdleDeadline(ctx, conversations[i].id)
		if err != nil {
			return err
		}
		result.Checked++
		if deadline.Add(clockError).Before(conversations[i].lastMessage.Add(longIdle)) {
			result.Lost++
		}
	}
	return nil
}
