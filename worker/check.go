package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v3"

	"sessionkeeper/internal/connection"
	"sessionkeeper/internal/preflight"
	"sessionkeeper/internal/service"
)

// errChecks ends the program with the exit status of a report, which was printed.
type errChecks int

func (e errChecks) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "check the configuration, Temporal, and the login and API of each org",
		Description: "Run it before the first start, after a change, or when something does not work. It changes\n" +
			"nothing. For each org it requests a token, and sends one Inactivate for a conversation that\n" +
			"does not exist. Salesforce's answer shows what the user may do. With -authorization-context and\n" +
			"-channel, the answer shows too whether Salesforce knows them.\n\n" +
			"√ is good, ‼ works but should be looked at, × does not work, · cannot be checked, - was skipped.\n" +
			"The exit status is 0 if all is good, 1 if something does not work, else 2.\n\n" +
			"Examples:\n" +
			"   worker check -config worker.yaml\n" +
			"   worker check -org 00D000000000001 -json",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "org", Usage: "check only the org with this `ID`"},
			&cli.StringFlag{Name: "authorization-context", Usage: "`NAME` of a ConversationChannelDefinition to check"},
			&cli.StringFlag{Name: "channel", Usage: "`ID` of a channel address (ChannelAddressIdentifier) to check"},
			&cli.BoolFlag{Name: "json", Usage: "print the report as JSON"},
		},
		Action: check,
	}
}

func check(ctx context.Context, c *cli.Command) error {
	if c.Args().Present() {
		return fmt.Errorf("unexpected argument %q", c.Args().First())
	}
	temporal, err := connection.Load()
	if err != nil {
		return err
	}
	report := service.Check(ctx, service.CheckOptions{
		ConfigFile: c.String("config"), Temporal: temporal.Options, OrgID: c.String("org"), Version: version,
		AuthorizationContext: c.String("authorization-context"), ChannelAddressIdentifier: c.String("channel"),
	})
	if err := printReport(c, report); err != nil {
		return err
	}
	if status := report.ExitStatus(); status != 0 {
		return errChecks(status)
	}
	return nil
}

func printReport(c *cli.Command, report preflight.Report) error {
	if !c.Bool("json") {
		return report.Text(c.Root().Writer)
	}
	encoder := json.NewEncoder(c.Root().Writer)
	encoder.SetIndent("", "  ")
	return encoder.Encode(map[string]preflight.Report{"results": report})
}
