// Command starter is what a routing system or an operator runs: it starts
// conversations, tells them what happens, asks them how they stand, and plays
// a routing system's event log.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second interrupt ends the process, whatever it is doing.
	context.AfterFunc(ctx, stop)
	if err := app().Run(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "starter:", err)
		os.Exit(1) //nolint:gocritic // the process ends here, stop has nothing left to do
	}
}

func app() *cli.Command {
	root := &cli.Command{
		Name:  "starter",
		Usage: "speak to the conversations that sessionkeeper keeps",
		Description: "Connects to Temporal as the environment says: TEMPORAL_ADDRESS (default localhost:7233),\n" +
			"TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_*, or a profile of temporal.toml\n" +
			"(TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE). The flags below come before the environment.\n\n" +
			"A conversation is named by its workflow id, <orgId>:<conversationIdentifier>.\n\n" +
			"Example:\n   starter status 00D000000000001:6f1c2a9e",
		HideVersion: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "address", Usage: "`HOST:PORT` of Temporal"},
			&cli.StringFlag{Name: "namespace", Usage: "Temporal `NAMESPACE`"},
			&cli.StringFlag{Name: "task-queue", Usage: "`QUEUE` on which the workers listen", Value: conversation.DefaultTaskQueue},
		},
		Commands: []*cli.Command{
			startCommand(), messageCommand(), closeCommand(), statusCommand(), retryCommand(), ingestCommand(), serveCommand(),
		},
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return fmt.Errorf("no command %q; see starter -help", c.Args().First())
			}
			return cli.ShowRootCommandHelp(c)
		},
		// Errors are printed once, by main.
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
		OnUsageError:   wrongUsage,
	}
	for _, command := range root.Commands {
		command.OnUsageError = wrongUsage
	}
	return root
}

func wrongUsage(_ context.Context, c *cli.Command, err error, _ bool) error {
	return fmt.Errorf("%w; see %s -help", err, c.FullName())
}

// action is what a command does with a sender.
type action func(ctx context.Context, c *cli.Command, s *sender.Sender) error

// connected runs an action with a sender. The connection is made with the first
// call, so that an action may wait for Temporal.
func connected(do action) cli.ActionFunc {
	return func(ctx context.Context, c *cli.Command) error {
		temporal, err := connect(c)
		if err != nil {
			return err
		}
		defer temporal.Close()
		s := sender.New(temporal, sender.Options{ //nolint:contextcheck // its reports outlive an interrupt
			TaskQueue: c.String("task-queue"), Window: new(conversation.Duration(c.Duration("window"))),
		})
		return do(ctx, c, s)
	}
}

// answered runs an action that has to come to an end within -timeout.
func answered(do action) cli.ActionFunc {
	return connected(func(ctx context.Context, c *cli.Command, s *sender.Sender) error {
		ctx, cancel := limited(ctx, c)
		defer cancel()
		err := do(ctx, c, s)
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("no answer within %s: %w", c.Duration("timeout"), err)
		}
		return known(err)
	})
}

// limited applies -timeout. Where a command waits for an outcome, only a timeout
// that is asked for counts.
func limited(ctx context.Context, c *cli.Command) (context.Context, context.CancelFunc) {
	limit := c.Duration("timeout")
	if limit <= 0 || c.Bool("wait") && !c.IsSet("timeout") {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}

// known says in plain words that a conversation is not known.
func known(err error) error {
	if _, missing := errors.AsType[*serviceerror.NotFound](err); missing {
		return fmt.Errorf("no such conversation: %w", err)
	}
	return err
}

func timeoutFlag() cli.Flag {
	return &cli.DurationFlag{Name: "timeout", Usage: "how long to wait for an answer; 0 for ever", Value: 30 * time.Second}
}

// connection is how the flags and the environment say to connect to Temporal.
func connection(c *cli.Command) (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return options, fmt.Errorf("read Temporal's connection settings: %w", err)
	}
	if address := c.String("address"); address != "" {
		options.HostPort = address
	}
	if namespace := c.String("namespace"); namespace != "" {
		options.Namespace = namespace
	}
	return options, nil
}

func connect(c *cli.Command) (client.Client, error) {
	options, err := connection(c)
	if err != nil {
		return nil, err
	}
	options.Logger = log.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	temporal, err := client.NewLazyClient(options)
	if err != nil {
		return nil, fmt.Errorf("connect to Temporal at %s: %w", options.HostPort, err)
	}
	return temporal, nil
}

// named is the conversation that a command's argument names, with what its
// flags add.
func named(c *cli.Command) (conversation.Identity, error) {
	if c.Args().Len() != 1 {
		return conversation.Identity{}, fmt.Errorf("want one argument: %s", keyArgument)
	}
	id, err := conversation.ParseWorkflowID(c.Args().First())
	if err != nil {
		return id, err //nolint:wrapcheck // it names the argument
	}
	id.AuthorizationContext = c.String("authorization-context")
	id.ChannelAddressIdentifier = c.String("channel-address")
	id.EndUserClientID = c.String("end-user")
	id.SessionID = c.String("session")
	return id, nil
}

// identityFlags complete the identity that the argument names.
func identityFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "authorization-context", Usage: "developer `NAME` of the ConversationChannelDefinition"},
		&cli.StringFlag{Name: "channel-address", Usage: "channelAddressIdentifier, a `GUID`"},
		&cli.StringFlag{Name: "end-user", Usage: "endUserClientId, the end user's `ID` in the partner's system"},
		&cli.StringFlag{Name: "session", Usage: "MessagingSession record `ID`, where known"},
		&cli.TimestampFlag{
			Name: "at", Usage: "when it happened, RFC 3339 (default: now)",
			Config: cli.TimestampConfig{Layouts: []string{time.RFC3339Nano}},
		},
		timeoutFlag(),
	}
}

const keyArgument = "<orgId>:<conversationIdentifier>"
