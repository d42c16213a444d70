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

	"github.com/urfave/cli/v3"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := app().Run(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "starter:", err)
		os.Exit(1) //nolint:gocritic // the process ends here, stop has nothing left to do
	}
}

func app() *cli.Command {
	return &cli.Command{
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
			startCommand(), messageCommand(), closeCommand(), statusCommand(), retryCommand(), ingestCommand(),
		},
		// Errors are printed once, by main.
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
	}
}

// connected runs an action with a sender. The connection is made with the first
// call, so that an action may wait for Temporal.
func connected(action func(ctx context.Context, c *cli.Command, s *sender.Sender) error) cli.ActionFunc {
	return func(ctx context.Context, c *cli.Command) error {
		temporal, err := connect(c)
		if err != nil {
			return err
		}
		defer temporal.Close()
		return action(ctx, c, sender.New(temporal, sender.Options{TaskQueue: c.String("task-queue")}))
	}
}

func connect(c *cli.Command) (client.Client, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return nil, fmt.Errorf("read Temporal's connection settings: %w", err)
	}
	if address := c.String("address"); address != "" {
		options.HostPort = address
	}
	if namespace := c.String("namespace"); namespace != "" {
		options.Namespace = namespace
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
		return conversation.Identity{}, errors.New("want one argument: <orgId>:<conversationIdentifier>")
	}
	id, err := sender.ParseKey(c.Args().First())
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
			Config: cli.TimestampConfig{Layouts: []string{"2006-01-02T15:04:05.999999999Z07:00"}},
		},
	}
}

const keyArgument = "<orgId>:<conversationIdentifier>"
