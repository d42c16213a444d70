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

// sessionkeeper is this project with its default settings.
func sessionkeeper() Engine { return newSessionkeeper("sessionkeeper", "sessionkeeper", nil) }

// sessionkeeperPerMessage is this project with a report for every message, as
// from a sender without windows.
func sessionkeeperPerMessage() Engine {
	return newSessionkeeper("sessionkeeper-per-message", "sessionkeeper, report per message",
		new(conversation.Duration(0)))
}

func newSessionkeeper(key, name string, window *conversation.Duration) Engine {
	return Engine{
		Key: key, Name: name, Library: temporalLibrary,
		Open: func(ctx context.Context, setup Setup) (Instance, error) {
			server, err := startTemporal(ctx, setup)
			if err != nil {
				return nil, err
			}
			s := &workerAndSender{temporalServer: server, window: window}
			if err := s.startWorker(ctx); err != nil {
				server.close()
				return nil, fmt.Errorf("start the worker: %w", err)
			}
			s.sender = s.newSender(setup.Idle) //nolint:contextcheck // the sender outlives the call that opens the engine
			return s, nil
		},
	}
}

type workerAndSender struct {
	*temporalServer
	window     *conversation.Duration
	sender     *sender.Sender
	stopWorker func() error
}

func (s *workerAndSender) startWorker(ctx context.Context) error {
	config, err := s.workerConfig()
	if err != nil {
		return err
	}
	// The worker runs until Close stops it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- service.Run(ctx, service.Options{
			Config: config, Temporal: s.clientOptions(), Logger: zap.NewNop(), Version: "compare",
			Listen: "127.0.0.1:0", Started: func(string) { close(started) },
		})
	}()
	s.stopWorker = func() error {
		cancel()
		return <-ended
	}
	select {
	case <-started:
		return nil
	case err := <-ended:
		cancel()
		if err == nil {
			err = errors.New("the worker ended before it started to poll")
		}
		return err
	}
}

// idlePolicy is the policy of a conversation of which only the idle call is
// measured: it is never Ended.
func idlePolicy(idle time.Duration) conversation.Policy {
	return conversation.Policy{
		InactivateAfter: new(conversation.Duration(idle)), EndAfter: new(conversation.Duration(0)),
	}
}

type sessionkeeperConversation struct {
	*workerAndSender
	id conversation.Identity
}

func (s *workerAndSender) StartConversation(ctx context.Context, id string, at time.Time) (Conversation, error) {
	c := sessionkeeperConversation{s, identity(id)}
	_, err := s.sender.Start(ctx, conversation.Start{Identity: c.id, Policy: idlePolicy(s.setup.Idle), At: at})
	return c, err
}

func (c sessionkeeperConversation) Message(ctx context.Context, at time.Time) error {
	_, err := c.sender.Message(ctx, c.id, conversation.Message{At: at})
	return err
}

func (s *workerAndSender) IdleDeadline(ctx context.Context, id string) (time.Time, error) {
	status, err := s.sender.Status(ctx, identity(id))
	if err != nil {
		return time.Time{}, fmt.Errorf("deadline of %s: %w", id, err)
	}
	return status.InactivateAt, nil
}

func (s *workerAndSender) newSender(idle time.Duration) *sender.Sender {
	return sender.New(s.client, sender.Options{TaskQueue: taskQueue, Policy: idlePolicy(idle), Window: s.window})
}

// Flush closes the sender, which reports everything that it has absorbed, and
// replaces it by a new one.
func (s *workerAndSender) Flush(ctx context.Context) error {
	full := s.sender
	s.sender = s.newSender(s.setup.Idle) //nolint:contextcheck // the sender outlives this call
	return full.Close(ctx)
}

func (s *workerAndSender) MeasureCost(ctx context.Context, chat Chat) (Cost, error) {
	reporter := s.newSender(chat.Length / 3) //nolint:contextcheck // it is closed below
	cost, err := s.playChat(ctx, chat, chatEvents{
		start: func(ctx context.Context, start conversation.Start) error {
			_, err := reporter.Start(ctx, start)
			return err
		},
		message: func(ctx context.Context, start conversation.Start) error {
			_, err := reporter.Message(ctx, start.Identity, conversation.Message{At: time.Now()})
			return err
		},
		close: func(ctx context.Context, start conversation.Start) error {
			event := conversation.Close{By: conversation.EndUser, At: time.Now()}
			_, err := reporter.CloseConversation(ctx, start.Identity, event)
			return err
		},
	})
	return cost, errors.Join(err, reporter.Close(ctx))
}

func (s *workerAndSender) Close(ctx context.Context) error {
	err := errors.Join(s.sender.Close(ctx), s.stopWorker())
	s.close()
	return err
}
