// Command starter is for routing systems and operators. It starts conversations,
// sends events to them, reads their status, and serves an HTTP API for events.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second interrupt ends the process at once.
	context.AfterFunc(ctx, stop)
	err := app().Run(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "starter:", err)
		os.Exit(1)
	}
}

func app() *cli.Command {
	root := &cli.Command{
		Name:  "starter",
		Usage: "send events to conversations and read their status",
		Description: "Reads the connection settings of Temporal from the environment: TEMPORAL_ADDRESS\n" +
			"(default localhost:7233), TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_*, or from a profile\n" +
			"of temporal.toml (TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE). The flags below override the environment.\n\n" +
			"A conversation is named by its workflow id, <orgId>:<conversationIdentifier>.\n\n" +
			"Example:\n   starter status 00D000000000001:6f1c2a9e",
		HideVersion: true,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "address", Usage: "`HOST:PORT` of Temporal"},
			&cli.StringFlag{Name: "namespace", Usage: "Temporal `NAMESPACE`"},
			&cli.StringFlag{Name: "task-queue", Usage: "task `QUEUE` of the workers", Value: conversation.DefaultTaskQueue},
		},
		Commands: []*cli.Command{
			startCommand(), messageCommand(), closeCommand(), statusCommand(), retryCommand(), orgsCommand(), eraseCommand(),
			ingestCommand(), serveCommand(), codecCommand(), tokenCommand(), keyCommand(),
		},
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return fmt.Errorf("no command %q; see starter -help", c.Args().First())
			}
			return cli.ShowRootCommandHelp(c)
		},
		// Errors are printed once, by main.
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
		OnUsageError:   usageError,
	}
	for _, command := range root.Commands {
		command.OnUsageError = usageError
	}
	return root
}

func usageError(_ context.Context, c *cli.Command, err error, _ bool) error {
	return fmt.Errorf("%w; see %s -help", err, c.FullName())
}

const workflowIDArgument = "<orgId>:<conversationIdentifier>"

// startsIfNeeded is help text of commands that send an event.
const startsIfNeeded = "With the identity flags, the conversation is started if it does not run. Without them,\n" +
	"only a running conversation gets the event."

// identityFlags complete the identity that the argument names.
func identityFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "authorization-context", Usage: "developer `NAME` of the ConversationChannelDefinition"},
		&cli.StringFlag{Name: "channel-address", Usage: "channelAddressIdentifier, a `GUID`"},
		&cli.StringFlag{Name: "end-user", Usage: "endUserClientId, the end user's `ID` in the partner's system"},
		&cli.StringFlag{Name: "session", Usage: "MessagingSession record `ID`, if known"},
		&cli.TimestampFlag{
			Name: "at", Usage: "time of the event, RFC 3339 (default: now)",
			Config: cli.TimestampConfig{Layouts: []string{time.RFC3339Nano}},
		},
		timeoutFlag(),
	}
}

func timeoutFlag() cli.Flag {
	return &cli.DurationFlag{
		Name: "timeout", Usage: "how long to wait for an answer; 0 waits without limit", Value: 30 * time.Second,
	}
}

// parseIdentity returns the identity from a command's argument and identity flags.
func parseIdentity(c *cli.Command) (conversation.Identity, error) {
	if c.Args().Len() != 1 {
		return conversation.Identity{}, fmt.Errorf("want one argument: %s", workflowIDArgument)
	}
	id, err := conversation.ParseWorkflowID(c.Args().First())
	if err != nil {
		return id, err
	}
	id.AuthorizationContext = c.String("authorization-context")
	id.ChannelAddressIdentifier = c.String("channel-address")
	id.EndUserClientID = c.String("end-user")
	id.SessionID = c.String("session")
	return id, nil
}

// printReceipt prints the receipt of an event, unless sending it failed.
func printReceipt(c *cli.Command, id conversation.Identity, receipt sender.Receipt, err error) error {
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Root().Writer, "%s %s: %s\n", c.Name, id.WorkflowID(), receipt)
	if receipt == sender.NotTracked {
		return fmt.Errorf("conversation %s does not run; with the identity flags it would be started", id.WorkflowID())
	}
	return nil
}

func printJSON(c *cli.Command, value any) error {
	encoder := json.NewEncoder(c.Root().Writer)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
