package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"
	"go.temporal.io/api/serviceerror"

	"sessionkeeper/sender"
)

func retryCommand() *cli.Command {
	return &cli.Command{
		Name:      "retry",
		Usage:     "retry Blocked conversations after the cause is removed",
		ArgsUsage: "[" + workflowIDArgument + "]",
		Description: "Retries one conversation. One that gave up, or was cancelled or terminated, is begun again.\n" +
			"With -blocked, Temporal retries all Blocked conversations, or only\n" +
			"those of one org or one ErrorReason. It goes on if this command is interrupted.\n\nExamples:\n" +
			"   starter retry 00D000000000001:6f1c2a9e\n" +
			"   starter retry -blocked -count\n" +
			"   starter retry -blocked -reason CHANNEL_ADDRESS_IS_INACTIVE",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "blocked", Usage: "all Blocked conversations"},
			&cli.StringFlag{Name: "org", Usage: "with -blocked: only of this org `ID`"},
			&cli.StringFlag{Name: "reason", Usage: "with -blocked: only with this `ERRORREASON`"},
			&cli.BoolFlag{Name: "count", Usage: "with -blocked: only count them"},
			&cli.FloatFlag{Name: "rate", Value: 50, Usage: "with -blocked: at most this `NUMBER` per second"},
			timeoutFlag(),
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Bool("blocked") {
				return retryBlocked(ctx, c)
			}
			return retryOne(ctx, c)
		},
	}
}

var retryOne = withTimeout(func(ctx context.Context, c *cli.Command, s *sender.Sender) error {
	id, err := parseIdentity(c)
	if err != nil {
		return fmt.Errorf("%w, or -blocked", err)
	}
	err = s.Retry(ctx, id)
	if _, stopped := errors.AsType[*serviceerror.NotFound](err); !stopped {
		return printReceipt(c, id, sender.Sent, err)
	}
	receipt, err := s.BeginAgain(ctx, id)
	if err != nil {
		return fmt.Errorf("retry %s: the workflow does not run: %w", id.WorkflowID(), err)
	}
	fmt.Fprintf(c.Root().Writer, "retry %s: the workflow had stopped; begun again: %s\n", id.WorkflowID(), receipt)
	return nil
})
