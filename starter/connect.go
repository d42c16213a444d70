package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/urfave/cli/v3"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/connection"
	"sessionkeeper/sender"
)

// connectionOptions returns the settings from the environment and the flags.
func connectionOptions(c *cli.Command) (connection.Connection, error) {
	options, err := connection.Load()
	if err != nil {
		return options, err
	}
	if address := c.String("address"); address != "" {
		options.HostPort = address
	}
	if namespace := c.String("namespace"); namespace != "" {
		options.Namespace = namespace
	}
	return options, nil
}

// connect makes a client with the settings from the environment and the flags.
func connect(c *cli.Command) (client.Client, connection.Connection, error) {
	options, err := connectionOptions(c)
	if err != nil {
		return nil, options, err
	}
	errorsOnly := &slog.HandlerOptions{Level: slog.LevelError}
	options.Logger = log.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, errorsOnly)))
	temporal, err := client.NewLazyClient(options.Options)
	if err != nil {
		return nil, options, fmt.Errorf("connect to Temporal at %s: %w", options.HostPort, err)
	}
	return temporal, options, nil
}

// action is what a command does with a sender.
type action func(ctx context.Context, c *cli.Command, s *sender.Sender) error

// withSender runs an action with a sender. The connection is made by the first call,
// so that an action may wait for Temporal.
func withSender(do action) cli.ActionFunc {
	return func(ctx context.Context, c *cli.Command) error {
		temporal, options, err := connect(c)
		if err != nil {
			return err
		}
		defer temporal.Close()
		options.Keys.Watch(ctx, slog.New(slog.NewTextHandler(c.Root().ErrWriter, nil)))
		s := sender.New(temporal, sender.Options{ //nolint:contextcheck // it reports messages after an interrupt, too
			TaskQueue: c.String("task-queue"), Window: new(conversation.Duration(c.Duration("window"))),
			DataConverter: options.DataConverter,
		})
		return do(ctx, c, s)
	}
}

// withTimeout runs an action with a sender, for at most -timeout.
func withTimeout(do action) cli.ActionFunc {
	return withSender(func(ctx context.Context, c *cli.Command, s *sender.Sender) error {
		ctx, cancel := applyTimeout(ctx, c)
		defer cancel()
		err := do(ctx, c, s)
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("no answer within %s: %w", c.Duration("timeout"), err)
		}
		if _, ok := errors.AsType[*serviceerror.NotFound](err); ok {
			return fmt.Errorf("the conversation is not known: %w", err)
		}
		return err
	})
}

// applyTimeout applies -timeout. With -wait, only a timeout that is set explicitly
// counts.
func applyTimeout(ctx context.Context, c *cli.Command) (context.Context, context.CancelFunc) {
	timeout := c.Duration("timeout")
	if timeout <= 0 || c.Bool("wait") && !c.IsSet("timeout") {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}
