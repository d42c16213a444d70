// Command worker runs the workflows of the conversations and calls Salesforce.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v3"
	"go.uber.org/zap"

	"sessionkeeper/internal/connection"
	"sessionkeeper/internal/service"
	"sessionkeeper/internal/telemetry"
)

// version is set when the program is built: -ldflags "-X main.version=1.2.3".
var version = "dev"

// errLogged ends the program with status 1. The error was logged already.
var errLogged = errors.New("the error was logged")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	err := app().Run(ctx, os.Args)
	stop()
	if err == nil {
		return
	}
	if status, ok := errors.AsType[errChecks](err); ok {
		os.Exit(int(status))
	}
	if !errors.Is(err, errLogged) {
		fmt.Fprintln(os.Stderr, "worker:", err)
	}
	os.Exit(1)
}

func app() *cli.Command {
	return &cli.Command{
		Name:    "worker",
		Usage:   "run the workflows of the conversations and call Salesforce",
		Version: version,
		Description: "The environment has the settings of the connection to Temporal: TEMPORAL_ADDRESS\n" +
			"(default localhost:7233), TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_*, or a profile\n" +
			"of temporal.toml (TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE). SIGTERM and SIGINT stop the worker\n" +
			"gracefully.\n\n" +
			"Example:\n   worker -config deploy/worker.example.yaml -check-config",
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: "config", Usage: "configuration `FILE` with the orgs",
				Value: "worker.yaml", Sources: cli.EnvVars("SESSIONKEEPER_CONFIG"),
			},
			&cli.BoolFlag{
				Name: "check-config", Local: true,
				Usage: "check the flags, the configuration file and the secrets it names, then exit",
			},
			&cli.BoolFlag{
				Name: "healthcheck", Local: true, Usage: "ask the worker that listens on -listen whether it is ready, then exit",
			},
			&cli.StringFlag{
				Name: "listen", Local: true, Usage: "`ADDRESS` of /healthz, /readyz, /metrics and /orgs",
				Value: "127.0.0.1:9090", Sources: cli.EnvVars("SESSIONKEEPER_LISTEN"),
			},
			&cli.StringFlag{
				Name: "log-format", Local: true, Usage: "`json or console`",
				Value: "json", Sources: cli.EnvVars("SESSIONKEEPER_LOG_FORMAT"),
			},
			&cli.StringFlag{
				Name: "log-level", Local: true, Usage: "`debug, info, warn or error`",
				Value: "info", Sources: cli.EnvVars("SESSIONKEEPER_LOG_LEVEL"),
			},
		},
		Commands: []*cli.Command{checkCommand()},
		Action:   run,
		// main prints the error, so cli must not.
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
		OnUsageError:   func(_ context.Context, _ *cli.Command, err error, _ bool) error { return err },
	}
}

func run(ctx context.Context, c *cli.Command) error {
	if c.Args().Present() {
		return fmt.Errorf("unexpected argument %q", c.Args().First())
	}
	if c.Bool("healthcheck") {
		return healthcheck(ctx, c)
	}
	logger, err := telemetry.NewLogger(os.Stderr, c.String("log-format"), c.String("log-level"))
	if err != nil {
		return err
	}
	defer logger.Sync() //nolint:errcheck // syncing standard error may fail
	temporal, err := connection.Load()
	if err != nil {
		return err
	}
	if c.Bool("check-config") {
		return checkConfig(c)
	}
	config, err := service.LoadConfig(c.String("config"))
	if err != nil {
		return err
	}
	if err := service.Run(ctx, service.Options{
		Config: config, ConfigFile: c.String("config"), Temporal: temporal.Options, Keys: temporal.Keys,
		Listen: c.String("listen"), Logger: logger, Version: version,
	}); err != nil {
		logger.Error("Worker failed", zap.Error(err))
		return errLogged
	}
	return nil
}

func healthcheck(ctx context.Context, c *cli.Command) error {
	if err := telemetry.CheckReady(ctx, c.String("listen")); err != nil {
		return err
	}
	fmt.Fprintln(c.Root().Writer, "ready")
	return nil
}

func checkConfig(c *cli.Command) error {
	config, err := service.CheckConfig(c.String("config"))
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Root().Writer, "%s is valid: task queue %s\n", c.String("config"), config.TaskQueue)
	for _, org := range config.Orgs {
		fmt.Fprintf(c.Root().Writer, "  org %s at %s\n", org.OrgID, org.APIBaseURL)
	}
	return nil
}
