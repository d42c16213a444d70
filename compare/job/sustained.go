package job

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"sessionkeeper/compare/engine"
)

// track is a conversation with the time of its last acknowledged message.
type track struct {
	engine.Conversation
	id   string
	last time.Time
}

// begin starts conversations, or starts them again.
func (m *measurement) begin(ctx context.Context, s engine.Session, count int) ([]*track, error) {
	tracks := make([]*track, count)
	err := m.inParallel(ctx, func(ctx context.Context, sender int) error {
		for i := sender; i < count; i += m.plan.Senders {
			t := &track{id: fmt.Sprintf("conversation-%d", i), last: time.Now()}
			var err error
			if t.Conversation, err = s.Begin(ctx, t.id, t.last); err != nil {
				return fmt.Errorf("begin %s: %w", t.id, err)
			}
			tracks[i] = t
		}
		return nil
	})
	return tracks, err
}

// inParallel does something once for every sender.
func (m *measurement) inParallel(ctx context.Context, do func(ctx context.Context, sender int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for sender := range m.plan.Senders {
		group.Go(func() error { return do(ctx, sender) })
	}
	return group.Wait()
}

// sustained sends messages over conversations that have begun, as fast as they
// are acknowledged. A message that fails ends it.
func (m *measurement) sustained(ctx context.Context, s engine.Session, tracks []*track) (result Sustained, err error) {
	before, err := cpu(m.servers)
	if err != nil {
		return Sustained{}, err
	}
	began := time.Now()
	until := began.Add(m.plan.For)
	sent := make([]int64, m.plan.Senders)
	err = m.inParallel(ctx, func(ctx context.Context, sender int) error {
		var count int64
		defer func() { sent[sender] = count }()
		for {
			for i := sender; i < len(tracks); i += m.plan.Senders {
				now := time.Now()
				if now.After(until) {
					return nil
				}
				if err := tracks[i].Message(ctx, now); err != nil {
					return fmt.Errorf("message of %s: %w", tracks[i].id, err)
				}
				tracks[i].last = now
				count++
			}
		}
	})
	if err != nil {
		return Sustained{}, err
	}
	result = Sustained{Conversations: len(tracks), Took: time.Since(began)}
	for _, count := range sent {
		result.Messages += count
	}
	if result.CatchUp, err = m.catchUp(ctx, s); err != nil {
		return Sustained{}, err
	}
	after, err := cpu(m.servers)
	if err != nil {
		return Sustained{}, err
	}
	result.CPU = after - before
	return result, m.check(ctx, s, tracks, &result)
}

// catchUp waits until what was acknowledged is worked off.
func (m *measurement) catchUp(ctx context.Context, s engine.Session) (time.Duration, error) {
	began := time.Now()
	if f, ok := s.(engine.Flusher); ok {
		if err := f.Flush(ctx); err != nil {
			return 0, fmt.Errorf("flush: %w", err)
		}
	}
	flushed := time.Since(began)
	settled, err := settle(ctx, m.servers)
	return flushed + settled, err
}

// checkAtMost is how many conversations are asked for their deadlines.
const checkAtMost = 200

// check asks whether the last messages count.
func (m *measurement) check(ctx context.Context, s engine.Session, tracks []*track, result *Sustained) error {
	for i := 0; i < len(tracks); i += max(1, len(tracks)/checkAtMost) {
		due, err := s.Due(ctx, tracks[i].id)
		if err != nil {
			return err
		}
		result.Checked++
		if due.Add(max(m.engine.Grain, clockError)).Before(tracks[i].last.Add(never)) {
			result.Lost++
		}
	}
	return nil
}
