package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

func startCommand() *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "start a conversation, or correct the identity and policy of one that runs",
		ArgsUsage: keyArgument,
		Description: "Starting twice does no harm: a conversation that runs is used.\n\nExample:\n" +
			"   starter start -authorization-context Partner1_ChannelDefinition1 \\\n" +
			"      -channel-address 1b2c3d4e-0000-4000-8000-000000000001 -end-user visitor-17 \\\n" +
			"      -session 0Mw000000000001AAA -inactivate-after 10m 00D000000000001:6f1c2a9e",
		Flags: append(identityFlags(),
			&cli.DurationFlag{Name: "inactivate-after", Usage: "quiet time after which the session is made Inactive; 0 never", DefaultText: conversation.Duration(conversation.DefaultInactivateAfter).String()},
			&cli.DurationFlag{Name: "end-after", Usage: "time after which an Inactive session is ended; 0 leaves it to Salesforce", DefaultText: conversation.Duration(conversation.DefaultEndAfter).String()},
			&cli.DurationFlag{Name: "blocked-for", Usage: "time a Blocked conversation waits for an operator; 0 for ever", DefaultText: conversation.Duration(conversation.DefaultBlockedFor).String()},
			&cli.BoolFlag{Name: "end-on-cancel", Usage: "End the session when the workflow is cancelled"},
		),
		Action: answered(func(ctx context.Context, c *cli.Command, s *sender.Sender) error {
			id, err := named(c)
			if err != nil {
				return err
			}
			receipt, err := s.Start(ctx, conversation.Start{Identity: id, Policy: policy(c), At: c.Timestamp("at")})
			return report(c, id, receipt, err)
		}),
	}
}

func policy(c *cli.Command) conversation.Policy {
	given := func(flag string) *conversation.Duration {
		if !c.IsSet(flag) {
			return nil
		}
		return new(conversation.Duration(c.Duration(flag)))
	}
	return conversation.Policy{
		InactivateAfter: given("inactivate-after"),
		EndAfter:        given("end-after"),
		BlockedFor:      given("blocked-for"),
		EndOnCancel:     c.Bool("end-on-cancel"),
	}
}

func messageCommand() *cli.Command {
	return &cli.Command{
		Name:      "message",
		Usage:     "report that somebody wrote: the idle clock starts anew",
		ArgsUsage: keyArgument,
		Description: "Without the identity's flags only a conversation that runs is told; with them one is started if need be.\n\nExample:\n" +
			"   starter message 00D000000000001:6f1c2a9e",
		Flags: identityFlags(),
		Action: answered(func(ctx context.Context, c *cli.Command, s *sender.Sender) error {
			id, err := named(c)
			if err != nil {
				return err
			}
			receipt, err := s.Message(ctx, id, conversation.Message{At: c.Timestamp("at")})
			return report(c, id, receipt, err)
		}),
	}
}

func closeCommand() *cli.Command {
	return &cli.Command{
		Name:      "close",
		Usage:     "End a conversation's session",
		ArgsUsage: keyArgument,
		Description: "Without the identity's flags only a conversation that runs is told; with them one is started if need be.\n" +
			"With -wait it prints the outcome as JSON, or fails with the reason why an operator is needed.\n\nExample:\n" +
			"   starter close -by EndUser -wait 00D000000000001:6f1c2a9e",
		Flags: append(identityFlags(),
			&cli.StringFlag{Name: "by", Usage: "on whose behalf: `EndUser or System`", Value: string(conversation.System)},
			&cli.BoolFlag{Name: "wait", Usage: "wait for the outcome, for ever unless -timeout is given, and print it"},
		),
		Action: answered(func(ctx context.Context, c *cli.Command, s *sender.Sender) error {
			id, err := named(c)
			if err != nil {
				return err
			}
			closing := conversation.Close{By: conversation.By(c.String("by")), At: c.Timestamp("at")}
			if !c.Bool("wait") {
				receipt, err := s.CloseConversation(ctx, id, closing)
				return report(c, id, receipt, err)
			}
			outcome, err := s.CloseAndWait(ctx, id, closing)
			if err != nil {
				return blocked(err)
			}
			return printJSON(c, outcome)
		}),
	}
}

// blocked says what to do about a close that an operator has to help with.
func blocked(err error) error {
	if _, refused := errors.AsType[*temporal.ApplicationError](err); refused {
		return fmt.Errorf("%w\nOnce the cause is removed: starter retry", err)
	}
	return err
}

func retryCommand() *cli.Command {
	return &cli.Command{
		Name:      "retry",
		Usage:     "tell Blocked conversations that the cause is removed",
		ArgsUsage: "[" + keyArgument + "]",
		Description: "Retries one conversation, or with -blocked all Blocked ones, of an org or an ErrorReason if named.\n\nExamples:\n" +
			"   starter retry 00D000000000001:6f1c2a9e\n" +
			"   starter retry -blocked -reason CHANNEL_ADDRESS_IS_INACTIVE",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "blocked", Usage: "all Blocked conversations"},
			&cli.StringFlag{Name: "org", Usage: "with -blocked: only of this org `ID`"},
			&cli.StringFlag{Name: "reason", Usage: "with -blocked: only with this `ERRORREASON`"},
			timeoutFlag(),
		},
		Action: answered(func(ctx context.Context, c *cli.Command, s *sender.Sender) error {
			if !c.Bool("blocked") {
				id, err := named(c)
				if err != nil {
					return fmt.Errorf("%w, or -blocked", err)
				}
				return report(c, id, sender.Sent, s.Retry(ctx, id))
			}
			if c.Args().Present() {
				return errors.New("want either a conversation or -blocked")
			}
			told, err := s.RetryBlocked(ctx, sender.BlockedFilter{OrgID: c.String("org"), ErrorReason: c.String("reason")})
			fmt.Fprintf(c.Root().Writer, "%d Blocked conversations told to try again\n", told)
			return err
		}),
	}
}

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:        "status",
		Usage:       "ask a conversation how it stands and what happens next",
		ArgsUsage:   keyArgument,
		Description: "A worker has to run: it answers.\n\nExample:\n   starter status -json 00D000000000001:6f1c2a9e",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}, timeoutFlag()},
		Action: answered(func(ctx context.Context, c *cli.Command, s *sender.Sender) error {
			id, err := named(c)
			if err != nil {
				return err
			}
			status, err := s.Status(ctx, id)
			if err != nil {
				return err //nolint:wrapcheck // it names the conversation
			}
			if c.Bool("json") {
				return printJSON(c, status)
			}
			printStatus(c, status)
			return nil
		}),
	}
}

// report prints what became of an event.
func report(c *cli.Command, id conversation.Identity, receipt sender.Receipt, err error) error {
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Root().Writer, "%s %s: %s\n", c.Name, id.WorkflowID(), receipt)
	if receipt == sender.NotTracked {
		return fmt.Errorf("no conversation %s runs; the identity's flags would start it", id.WorkflowID())
	}
	return nil
}

func printJSON(c *cli.Command, value any) error {
	encoder := json.NewEncoder(c.Root().Writer)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value) //nolint:wrapcheck // standard output
}

func printStatus(c *cli.Command, s conversation.Status) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(c.Root().Writer, "%-14s %s\n", name, strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
	at := func(name string, t time.Time) {
		if !t.IsZero() {
			line(name, "%s (%s)", t.UTC().Format(time.RFC3339), relative(t))
		}
	}
	line("conversation", "%s:%s", s.OrgID, s.ConversationIdentifier)
	line("phase", "%s", s.Phase)
	line("session", "%s %s", cmp.Or(s.SessionID, "(not known)"), s.SessionStatus)
	at("started", s.StartedAt)
	at("last message", s.LastMessageAt)
	at("promised until", s.LeaseUntil)
	if s.Calling != "" {
		line("calling", "%s", s.Calling)
	}
	at("Inactivate at", s.InactivateAt)
	at("End at", s.EndAt)
	if s.Blocked != nil {
		line("blocked by", "%s: %s", s.Blocked.Reason, s.Blocked.Message)
		at("gives up at", s.BlockedUntil)
	}
	if a := s.LastAnswer; a != nil {
		line("last answer", "%s by %s: %s, HTTP %d, attempt %d, RequestId %s",
			a.Operation, a.By, cmp.Or(a.Reason, "success"), a.HTTPStatus, a.Attempt, a.RequestID)
	}
	if o := s.Outcome; o != nil {
		line("outcome", "%s %s", o.Why, o.EndedBy)
		at("ended", o.At)
	}
}

func relative(t time.Time) string {
	d := time.Until(t)
	if d < 0 {
		return (-d).Round(time.Second).String() + " ago"
	}
	return "in " + d.Round(time.Second).String()
}
