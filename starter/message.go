package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

func messageCommand() *cli.Command {
	return &cli.Command{
		Name:        "message",
		Usage:       "report a message: the idle clock starts again",
		ArgsUsage:   workflowIDArgument,
		Description: startsIfNeeded + "\n\nExample:\n   starter message 00D000000000001:6f1c2a9e",
		Flags:       identityFlags(),
		Action: withTimeout(func(ctx context.Context, c *cli.Command, s *sender.Sender) error {
			id, err := parseIdentity(c)
			if err != nil {
				return err
			}
			receipt, err := s.Message(ctx, id, conversation.Message{At: c.Timestamp("at")})
			return printReceipt(c, id, receipt, err)
		}),
	}
}
