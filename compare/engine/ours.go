package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/service"
	"sessionkeeper/sender"
)

// windowed is sessionkeeper as it comes: the sender absorbs messages and reports
// them in windows of half the idle time.
func windowed() Engine { return ours("sessionkeeper", "sessionkeeper", nil) }

// eachMessage is sessionkeeper with a report for every message, as a sender sees
// to it that knows nothing of windows.
func eachMessage() Engine {
	return ours("sessionkeeper-each", "sessionkeeper, report per message", new(conversation.Duration(0)))
}

func ours(key, name string, window *conversation.Duration) Engine {
	return Engine{
		Key: key, Name: name, Library: temporalLibrary,
		Open: func(ctx context.Context, setup Setup) (Session, error) {
			rig, err := startTemporal(ctx, setup)
			if err != nil {
				return nil, err
			}
			s := &kept{temporalRig: rig, window: window}
			if err := s.work(ctx); err != nil {
				rig.close()
				return nil, fmt.Errorf("start the worker: %w", err)
			}
			s.sender = s.newSender(setup.Idle) //nolint:contextcheck // a sender outlives the call that makes it
			return s, nil
		},
	}
}

// kept are conversations that sessionkeeper keeps: its worker and its sender.
type kept struct {
	*temporalRig
	window *conversation.Duration
	sender *sender.Sender
	stop   func() error
}

// work runs the worker.
func (s *kept) work(ctx context.Context) error {
	config, err := s.workerConfig()
	if err != nil {
		return err
	}
	// It works until it is stopped.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- service.Run(ctx, service.Options{
			Config: config, Temporal: s.connection(), Logger: zap.NewNop(), Version: "bench",
			Listen: "127.0.0.1:0", Started: func(string) { close(started) },
		})
	}()
	s.stop = func() error {
		cancel()
		return <-ended
	}
	select {
	case <-started:
		return nil
	case err := <-ended:
		cancel()
		if err == nil {
			err = errNotStarted
		}
		return err
	}
}

func policy(idle time.Duration) conversation.Policy {
	// Without an End: only the idle call is measured.
	return conversation.Policy{InactivateAfter: new(conversation.Duration(idle)), EndAfter: new(conversation.Duration(0))}
}

type keptConversation struct {
	*kept
	id conversation.Identity
}

func (s *kept) Begin(ctx context.Context, id string, at time.Time) (Conversation, error) {
	c := keptConversation{s, identity(id)}
	_, err := s.sender.Start(ctx, conversation.Start{Identity: c.id, Policy: policy(s.setup.Idle), At: at})
	return c, err
}

func (c keptConversation) Message(ctx context.Context, at time.Time) error {
	_, err := c.sender.Message(ctx, c.id, conversation.Message{At: at})
	return err
}

func (s *kept) Due(ctx context.Context, id string) (time.Time, error) {
	status, err := s.sender.Status(ctx, identity(id))
	if err != nil {
		return time.Time{}, fmt.Errorf("deadline of %s: %w", id, err)
	}
	return status.InactivateAt, nil
}

func (s *kept) newSender(idle time.Duration) *sender.Sender {
	return sender.New(s.client, sender.Options{TaskQueue: taskQueue, Policy: policy(idle), Window: s.window})
}

// Flush closes the sender, which reports all that it has absorbed, and goes on
// with another one.
func (s *kept) Flush(ctx context.Context) error {
	full := s.sender
	s.sender = s.newSender(s.setup.Idle) //nolint:contextcheck // a sender outlives the call that makes it
	return full.Close(ctx)
}

func (s *kept) Cost(ctx context.Context, chat Chat) (Cost, error) {
	told := s.newSender(chat.Over / 3) //nolint:contextcheck // a sender outlives the call that makes it
	cost, err := s.play(ctx, chat, played{
		begin: func(ctx context.Context, start conversation.Start) error {
			_, err := told.Start(ctx, start)
			return err
		},
		message: func(ctx context.Context, start conversation.Start) error {
			_, err := told.Message(ctx, start.Identity, conversation.Message{At: time.Now()})
			return err
		},
		hangUp: func(ctx context.Context, start conversation.Start) error {
			_, err := told.CloseConversation(ctx, start.Identity, conversation.Close{By: conversation.EndUser, At: time.Now()})
			return err
		},
	})
	return cost, errors.Join(err, told.Close(ctx))
}

func (s *kept) Close(ctx context.Context) error {
	err := errors.Join(s.sender.Close(ctx), s.stop())
	s.close()
	return err
}
