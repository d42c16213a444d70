package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"

	"sessionkeeper/sender"
)

func retryCommand() *cli.Command {
	return &cli.Command{
		Name:      "retry",
		Usage:     "retry Blocked conversations after the cause is removed",
		ArgsUsage: "[" + workflowIDArgument + "]",
		Description: "Retries one conversation. With -blocked it retries all Blocked conversations, or only\n" +
			"those of one org or one ErrorReason.\n\nExamples:\n" +
			"   starter retry 00D000000000001:6f1c2a9e\n" +
			"   starter retry -blocked -reason CHANNEL_ADDRESS_IS_INACTIVE",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "blocked", Usage: "all Blocked conversations"},
			&cli.StringFlag{Name: "org", Usage: "with -blocked: only of this org `ID`"},
			&cli.StringFlag{Name: "reason", Usage: "with -blocked: only with this `ERRORREASON`"},
			timeoutFlag(),
		},
		Action: withTimeout(func(ctx context.Context, c *cli.Command, s *sender.Sender) error {
			if !c.Bool("blocked") {
				id, err := parseIdentity(c)
				if err != nil {
					return fmt.Errorf("%w, or -blocked", err)
				}
				return printReceipt(c, id, sender.Sent, s.Retry(ctx, id))
			}
			if c.Args().Present() {
				return errors.New("want either a conversation or -blocked")
			}
			retried, err := s.RetryBlocked(ctx, sender.BlockedFilter{
				OrgID: c.String("org"), ErrorReason: c.String("reason"),
			})
			fmt.Fprintf(c.Root().Writer, "%d Blocked conversations retried\n", retried)
			return err
		}),
	}
}
