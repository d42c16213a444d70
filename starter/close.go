package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

func closeCommand() *cli.Command {
	return &cli.Command{
		Name:      "close",
		Usage:     "End a conversation's session",
		ArgsUsage: workflowIDArgument,
		Description: startsIfNeeded + "\n\n" +
			"With -wait it prints the outcome as JSON. If the conversation becomes Blocked, it fails with the reason.\n\n" +
			"Example:\n   starter close -by EndUser -wait 00D000000000001:6f1c2a9e",
		Flags: append(identityFlags(),
			&cli.StringFlag{
				Name: "by", Usage: "on whose behalf: `EndUser or System`", Value: string(conversation.System),
			},
			&cli.BoolFlag{Name: "wait", Usage: "wait for the outcome and print it; without limit unless -timeout is set"},
		),
		Action: withTimeout(func(ctx context.Context, c *cli.Command, s *sender.Sender) error {
			id, err := parseIdentity(c)
			if err != nil {
				return err
			}
			request := conversation.Close{By: conversation.By(c.String("by")), At: c.Timestamp("at")}
			if !c.Bool("wait") {
				receipt, err := s.CloseConversation(ctx, id, request)
				return printReceipt(c, id, receipt, err)
			}
			outcome, err := s.CloseAndWait(ctx, id, request)
			if _, blocked := errors.AsType[*temporal.ApplicationError](err); blocked {
				return fmt.Errorf("%w\nRemove the cause, then run: starter retry", err)
			}
			if err != nil {
				return err
			}
			return printJSON(c, outcome)
		}),
	}
}
