package job

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sessionkeeper/compare/engine"
)

// speaker is a conversation that is written in until it goes quiet.
type speaker struct {
	id               string
	ledger           *ledger
	joinsAt, quietAt time.Time
	// conversation is nil until the first message.
	conversation engine.Conversation
}

// lateness lets conversations go quiet one after the other while the others go
// on, and waits for the calls.
func (m *measurement) lateness(ctx context.Context, s engine.Session) (Lateness, error) {
	plan := m.plan.Lateness
	began := time.Now()
	speakers := make([]*speaker, plan.Conversations)
	for i := range speakers {
		id := fmt.Sprintf("speaker-%d", i)
		speakers[i] = &speaker{
			id: id, ledger: m.salesforce.ledger(id),
			joinsAt: began.Add(plan.Join * time.Duration(i) / time.Duration(plan.Conversations)),
			quietAt: began.Add(plan.warmUp() + plan.Stretch*time.Duration(i)/time.Duration(plan.Conversations)),
		}
	}
	err := m.inParallel(ctx, func(ctx context.Context, sender int) error {
		var own []*speaker
		for i := sender; i < len(speakers); i += m.plan.Senders {
			own = append(own, speakers[i])
		}
		first := began.Add(time.Duration(sender) * time.Second / time.Duration(plan.Rate))
		return speak(ctx, s, own, first, time.Duration(m.plan.Senders)*time.Second/time.Duration(plan.Rate))
	})
	if err != nil {
		return Lateness{}, err
	}
	spoke := time.Since(began)
	m.awaitCalls(ctx, speakers)

	var sum account
	messages := 0
	for _, sp := range speakers {
		sum.add(sp.ledger, plan.Idle)
		messages += len(sp.ledger.messages)
	}
	result := sum.lateness()
	result.Rate = float64(messages) / spoke.Seconds()
	return result, ctx.Err()
}

// speak is one sender: it sends a message at a time, going round its
// conversations that have begun and are not quiet yet. When it falls behind, it
// sends as fast as it can.
func speak(ctx context.Context, s engine.Session, own []*speaker, next time.Time, every time.Duration) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for len(own) > 0 {
		if next.Before(own[0].joinsAt) {
			next = own[0].joinsAt
		}
		for _, sp := range own {
			if next.Before(sp.joinsAt) {
				break // nor have those behind it
			}
			timer.Reset(time.Until(next))
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-timer.C:
			}
			next = next.Add(every)
			if err := sp.say(ctx, s); err != nil {
				return err
			}
		}
		own = slices.DeleteFunc(own, (*speaker).quiet)
	}
	return nil
}

// quiet reports whether a conversation that has begun is not written in any more.
func (sp *speaker) quiet() bool { return sp.conversation != nil && time.Now().After(sp.quietAt) }

func (sp *speaker) say(ctx context.Context, s engine.Session) (err error) {
	at := time.Now()
	if sp.conversation == nil {
		sp.conversation, err = s.Begin(ctx, sp.id, at)
	} else {
		err = sp.conversation.Message(ctx, at)
	}
	if err != nil {
		return fmt.Errorf("message of %s: %w", sp.id, err)
	}
	sp.ledger.message(at, time.Now())
	return nil
}

// afterwards is how long after the last call a second one would be noticed.
const afterwards = time.Second

// awaitCalls returns once every conversation has had its call, or patience or
// ctx has ended.
func (m *measurement) awaitCalls(ctx context.Context, speakers []*speaker) {
	idle := m.plan.Lateness.Idle
	ctx, cancel := context.WithTimeout(ctx, idle+m.plan.Lateness.Patience)
	defer cancel()
	waiting := speakers
	for {
		for len(waiting) > 0 && waiting[0].ledger.settled(idle) {
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
	case <-time.After(afterwards):
	}
}
