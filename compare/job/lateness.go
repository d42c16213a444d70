package job

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sessionkeeper/compare/engine"
)

// timedConversation is a conversation that gets messages from one time to
// another.
type timedConversation struct {
	id                string
	timeline          *timeline
	startsAt, stopsAt time.Time
	// conversation is nil until the first message.
	conversation engine.Conversation
}

// measureLateness sends messages to conversations that stop one after the other,
// and waits for the idle calls.
func (m *measurement) measureLateness(ctx context.Context, instance engine.Instance) (Lateness, error) {
	plan := m.plan.Lateness
	began := time.Now()
	conversations := make([]*timedConversation, plan.Conversations)
	count := time.Duration(plan.Conversations)
	for i := range conversations {
		id := fmt.Sprintf("timed-%d", i)
		conversations[i] = &timedConversation{
			id: id, timeline: m.salesforce.timeline(id),
			startsAt: began.Add(plan.StartWithin * time.Duration(i) / count),
			stopsAt:  began.Add(plan.warmUp() + plan.StopWithin*time.Duration(i)/count),
		}
	}
	err := m.inParallel(ctx, func(ctx context.Context, sender int) error {
		var own []*timedConversation
		for i := sender; i < len(conversations); i += m.plan.Senders {
			own = append(own, conversations[i])
		}
		first := began.Add(time.Duration(sender) * time.Second / time.Duration(plan.Rate))
		interval := time.Duration(m.plan.Senders) * time.Second / time.Duration(plan.Rate)
		return sendAtRate(ctx, instance, own, first, interval)
	})
	if err != nil {
		return Lateness{}, err
	}
	sending := time.Since(began)
	m.waitForCalls(ctx, conversations)

	var calls callCounts
	messages := 0
	for _, c := range conversations {
		calls.add(c.timeline, plan.Idle)
		messages += len(c.timeline.messages)
	}
	result := calls.lateness()
	result.Rate = float64(messages) / sending.Seconds()
	return result, ctx.Err()
}

// sendAtRate is one sender. It sends one message per interval, to each of its
// conversations in turn that has started and not stopped. When it is late, it
// sends as fast as it can.
func sendAtRate(
	ctx context.Context, instance engine.Instance, own []*timedConversation, next time.Time, interval time.Duration,
) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for len(own) > 0 {
		if next.Before(own[0].startsAt) {
			next = own[0].startsAt
		}
		for _, c := range own {
			if next.Before(c.startsAt) {
				break // the following ones start later still
			}
			timer.Reset(time.Until(next))
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-timer.C:
			}
			next = next.Add(interval)
			if err := c.send(ctx, instance); err != nil {
				return err
			}
		}
		own = slices.DeleteFunc(own, (*timedConversation).hasStopped)
	}
	return nil
}

// hasStopped reports whether a conversation has started and gets no more
// messages.
func (c *timedConversation) hasStopped() bool {
	return c.conversation != nil && time.Now().After(c.stopsAt)
}

func (c *timedConversation) send(ctx context.Context, instance engine.Instance) (err error) {
	at := time.Now()
	if c.conversation == nil {
		c.conversation, err = instance.StartConversation(ctx, c.id, at)
	} else {
		err = c.conversation.Message(ctx, at)
	}
	if err != nil {
		return fmt.Errorf("message of %s: %w", c.id, err)
	}
	c.timeline.addMessage(at, time.Now())
	return nil
}

// secondCallWait is how long after the last expected call we look for calls that
// are made twice.
const secondCallWait = time.Second

// waitForCalls returns when every conversation has had its idle call, when the
// calls that are missing count as lost, or when ctx ends.
func (m *measurement) waitForCalls(ctx context.Context, conversations []*timedConversation) {
	idle := m.plan.Lateness.Idle
	ctx, cancel := context.WithTimeout(ctx, idle+m.plan.Lateness.LostAfter)
	defer cancel()
	waiting := conversations
	for {
		for len(waiting) > 0 && waiting[0].timeline.hasLastCall(idle) {
			waiting = waiting[1:]
		}
		if len(waiting) == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-m.salesforce.called:
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(secondCallWait):
	}
}
