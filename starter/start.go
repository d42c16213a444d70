package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

func startCommand() *cli.Command {
	return &cli.Command{
		Name:      "start",
		Usage:     "start a conversation, or correct the identity and policy of a running one",
		ArgsUsage: workflowIDArgument,
		Description: "It does no harm to start a conversation twice: the running one is used.\n\nExample:\n" +
			"   starter start -authorization-context Partner1_ChannelDefinition1 \\\n" +
			"      -channel-address 1b2c3d4e-0000-4000-8000-000000000001 -end-user visitor-17 \\\n" +
			"      -session 0Mw000000000001AAA -inactivate-after 10m 00D000000000001:6f1c2a9e",
		Flags: append(identityFlags(),
			&cli.DurationFlag{
				Name: "inactivate-after", Usage: "time without a message until the session becomes Inactive; 0 never",
				DefaultText: conversation.Duration(conversation.DefaultInactivateAfter).String(),
			},
			&cli.DurationFlag{
				Name: "end-after", Usage: "time until an Inactive session is ended; 0 leaves it to Salesforce",
				DefaultText: conversation.Duration(conversation.DefaultEndAfter).String(),
			},
			&cli.DurationFlag{
				Name: "blocked-for", Usage: "how long a Blocked conversation waits for an operator; 0 waits without limit",
				DefaultText: conversation.Duration(conversation.DefaultBlockedFor).String(),
			},
			&cli.BoolFlag{Name: "end-on-cancel", Usage: "End the session when the workflow is cancelled"},
		),
		Action: withTimeout(func(ctx context.Context, c *cli.Command, s *sender.Sender) error {
			id, err := parseIdentity(c)
			if err != nil {
				return err
			}
			receipt, err := s.Start(ctx, conversation.Start{Identity: id, Policy: policy(c), At: c.Timestamp("at")})
			return printReceipt(c, id, receipt, err)
		}),
	}
}

// policy returns the policy from the flags that are set.
func policy(c *cli.Command) conversation.Policy {
	duration := func(flag string) *conversation.Duration {
		if !c.IsSet(flag) {
			return nil
		}
		return new(conversation.Duration(c.Duration(flag)))
	}
	return conversation.Policy{
		InactivateAfter: duration("inactivate-after"),
		EndAfter:        duration("end-after"),
		BlockedFor:      duration("blocked-for"),
		EndOnCancel:     c.Bool("end-on-cancel"),
	}
}
