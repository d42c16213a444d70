// Command worker runs the conversations: it keeps their clocks and calls
// Salesforce.
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v3"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"

	"sessionkeeper/worker/service"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := app().Run(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1) //nolint:gocritic // the process ends here, stop has nothing left to do
	}
}

func app() *cli.Command {
	return &cli.Command{
		Name:    "worker",
		Usage:   "keep conversations' clocks and call Salesforce",
		Version: version,
		Description: "Connects to Temporal as the environment says: TEMPORAL_ADDRESS (default localhost:7233),\n" +
			"TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_*, or a profile of temporal.toml\n" +
			"(TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE). SIGTERM and SIGINT stop it gracefully.\n\n" +
			"Example:\n   worker -config deploy/worker.example.yaml -check-config",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Usage: "configuration `FILE` with the orgs", Value: "worker.yaml", Sources: cli.EnvVars("SESSIONKEEPER_CONFIG")},
			&cli.BoolFlag{Name: "check-config", Usage: "check the configuration file and the secrets it names, and exit"},
			&cli.StringFlag{Name: "listen", Usage: "`ADDRESS` of /healthz, /readyz and /metrics", Value: ":9090", Sources: cli.EnvVars("SESSIONKEEPER_LISTEN")},
			&cli.StringFlag{Name: "log-format", Usage: "`json or console`", Value: "json", Sources: cli.EnvVars("SESSIONKEEPER_LOG_FORMAT")},
			&cli.StringFlag{Name: "log-level", Usage: "`debug, info, warn or error`", Value: "info", Sources: cli.EnvVars("SESSIONKEEPER_LOG_LEVEL")},
		},
		Action: run,
		// Errors are printed once, by main.
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
	}
}

func run(ctx context.Context, c *cli.Command) error {
	if c.Args().Present() {
		return fmt.Errorf("unexpected argument %q", c.Args().First())
	}
	config, err := service.LoadConfig(c.String("config"))
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	if c.Bool("check-config") {
		if _, err := config.Clients(version); err != nil {
			return fmt.Errorf("configuration %s: %w", c.String("config"), err)
		}
		fmt.Fprintf(c.Root().Writer, "%s is good: %d orgs, task queue %s\n", c.String("config"), len(config.Orgs), config.TaskQueue)
		return nil
	}
	logger, err := service.NewLogger(c.String("log-format"), c.String("log-level"))
	if err != nil {
		return err //nolint:wrapcheck // it names the flag's value
	}
	defer logger.Sync() //nolint:errcheck // standard error cannot always be synced
	connection, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return fmt.Errorf("read Temporal's connection settings: %w", err)
	}
	connection.HostPort = cmp.Or(connection.HostPort, client.DefaultHostPort)
	connection.Namespace = cmp.Or(connection.Namespace, client.DefaultNamespace)
	return service.Run(ctx, service.Options{ //nolint:wrapcheck // it says what failed
		Config: config, Temporal: connection, Listen: c.String("listen"), Logger: logger, Version: version,
	})
}
