// Command demo plays the example conversations on any Temporal server. It runs a
// simulator of Salesforce and a worker in its own process, on a task queue of its
// own, and prints what each conversation did.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/urfave/cli/v3"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"sessionkeeper/internal/connection"
	"sessionkeeper/internal/demo"
	"sessionkeeper/internal/inprocess"
	"sessionkeeper/internal/service"
	"sessionkeeper/internal/telemetry"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second interrupt ends the process at once.
	context.AfterFunc(ctx, stop)
	err := app().Run(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func app() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "play the example conversations on a Temporal server",
		Description: "Runs a simulated Salesforce and a worker in this process, on a task queue of its own, and plays 22\n" +
			"conversations, which takes a minute and a half. Prints what each did and exits: 0 if every conversation\n" +
			"ended as it must, else 1. Two demos on one namespace must not run at the same time.\n\n" +
			"Connects to Temporal as the environment says: TEMPORAL_ADDRESS (default localhost:7233),\n" +
			"TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_*, or a profile of temporal.toml\n" +
			"(TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE). Registers the search attributes in the namespace if it lacks them.\n\n" +
			"Example:\n   temporal server start-dev\n   go run ./demo",
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: "log-level", Usage: "what the worker logs: `debug, info, warn, error or off`", Value: "off",
			},
		},
		Action: run,
		// Errors are printed once, by main.
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
		OnUsageError:   func(_ context.Context, _ *cli.Command, err error, _ bool) error { return err },
	}
}

func run(ctx context.Context, c *cli.Command) (err error) {
	if c.Args().Present() {
		return fmt.Errorf("unexpected argument %q", c.Args().First())
	}
	logger, err := demo.NewLogger(c.String("log-level"))
	if err != nil {
		return err
	}
	options, err := temporalOptions(logger)
	if err != nil {
		return err
	}
	temporal, err := connect(ctx, options)
	if err != nil {
		return err
	}
	defer temporal.Close()
	if err := registerSearchAttributes(ctx, temporal, options); err != nil {
		return err
	}
	sandbox, err := inprocess.StartSandbox(ctx, inprocess.SandboxOptions{})
	if err != nil {
		return err
	}
	defer sandbox.Close()
	sandbox.Config.TaskQueue = "sessionkeeper-demo-" + uuid.NewString()[:8]
	_, stop, err := inprocess.StartWorker(ctx, 0, service.Options{
		Config: sandbox.Config, Temporal: options, Logger: logger, Version: "demo",
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	announce(c.Root().Writer, options, sandbox)
	target := demo.Target{Temporal: temporal, TaskQueue: sandbox.Config.TaskQueue, Sandbox: sandbox.Simulator}
	err = demo.Play(ctx, target, c.Root().Writer)
	switch {
	case ctx.Err() != nil:
		return errors.Join(errors.New("interrupted before every conversation had ended"), terminate(ctx, temporal))
	case err != nil:
		return errors.Join(err, terminate(ctx, temporal))
	}
	return nil
}

// terminate terminates what the play has left running, also after an interrupt:
// when this process ends, no worker listens on the task queue.
func terminate(ctx context.Context, temporal client.Client) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return demo.Terminate(ctx, temporal)
}

// temporalOptions returns how the environment says to connect to Temporal.
func temporalOptions(logger *zap.Logger) (client.Options, error) {
	loaded, err := connection.Load()
	loaded.Logger = telemetry.ForTemporal(logger)
	return loaded.Options, err
}

func connect(ctx context.Context, options client.Options) (client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	temporal, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("connect to Temporal at %s: %w\nTo start a local server: temporal server start-dev",
			options.HostPort, err)
	}
	return temporal, nil
}

func announce(out io.Writer, options client.Options, sandbox *inprocess.Sandbox) {
	taskQueue := sandbox.Config.TaskQueue
	fmt.Fprintf(out, "Temporal    %s, namespace %s, task queue %s\n", options.HostPort, options.Namespace, taskQueue)
	if url := webUI(options.HostPort, options.Namespace, taskQueue); url != "" {
		fmt.Fprintf(out, "Web UI      %s\n", url)
	}
	fmt.Fprintf(out, "Sandbox     %s (journal: /_sandbox/journal)\n", sandbox.URL)
	fmt.Fprintln(out, "Playing the example conversations; this takes a minute and a half.")
}
