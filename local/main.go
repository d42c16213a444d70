// Command local runs everything in one process: a real Temporal server with its
// Web UI, a simulator in Salesforce's place and our worker. It plays the example
// conversations and goes on serving, to try things with.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v3"
	"go.uber.org/zap"

	"sessionkeeper/internal/telemetry"
	"sessionkeeper/local/demo"
	"sessionkeeper/local/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second interrupt ends the process, whatever it is doing.
	context.AfterFunc(ctx, stop)
	if err := app().Run(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "local:", err)
		os.Exit(1) //nolint:gocritic // the process ends here, stop has nothing left to do
	}
}

func app() *cli.Command {
	return &cli.Command{
		Name:  "local",
		Usage: "Temporal, its Web UI, Salesforce's sandbox and the worker in one process",
		Description: "Plays the example conversations, which takes about half a minute, prints what each did, and goes on\n" +
			"serving until interrupted.\n\nExamples:\n   go run -C local .\n   go run -C local . -once -db /tmp/sessionkeeper.db",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "once", Usage: "exit after the play: 0 if every conversation ended as it must"},
			&cli.BoolFlag{Name: "idle", Usage: "do not play the example"},
			&cli.StringFlag{Name: "db", Usage: "keep Temporal's state in `FILE` (default: in memory)"},
			&cli.IntFlag{Name: "temporal-port", Usage: "Temporal's `PORT`; 0 is any free one", Value: 7233},
			&cli.IntFlag{Name: "ui-port", Usage: "Web UI's `PORT`", Value: 8233},
			&cli.IntFlag{Name: "sandbox-port", Usage: "sandbox's `PORT`", Value: 8787},
			&cli.IntFlag{Name: "metrics-port", Usage: "`PORT` of the worker's health and metrics", Value: 9090},
			&cli.StringFlag{Name: "log-level", Usage: "what the worker logs: `debug, info, warn, error or off`", Value: "off"},
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
	if c.Bool("once") && c.Bool("idle") {
		return errors.New("want either -once or -idle")
	}
	logger, err := newLogger(c.String("log-level"))
	if err != nil {
		return err
	}
	s, err := stack.Start(ctx, stack.Options{
		DBFile: c.String("db"), UI: true, Logger: logger,
		TemporalPort: c.Int("temporal-port"), UIPort: c.Int("ui-port"),
		SandboxPort: c.Int("sandbox-port"), MetricsPort: c.Int("metrics-port"),
	})
	if err != nil {
		return err //nolint:wrapcheck // it says what did not start
	}
	defer s.Stop()
	out := c.Root().Writer
	announce(out, s)
	if !c.Bool("idle") {
		fmt.Fprintln(out, "Playing the example conversations; this takes about half a minute.")
		err = demo.Play(ctx, s, out)
	}
	switch {
	case ctx.Err() != nil && c.Bool("once"):
		return errors.New("interrupted before every conversation had ended")
	case ctx.Err() != nil:
		return nil
	case c.Bool("once"):
		if err == nil {
			fmt.Fprintln(out, "Every conversation ended as it must.")
		}
		return err //nolint:wrapcheck // it names the conversations
	case err != nil:
		fmt.Fprintln(os.Stderr, "local:", err)
	}
	fmt.Fprintln(out, "Serving until interrupted (Ctrl-C).")
	<-ctx.Done()
	return nil
}

// newLogger is the worker's logger. It is off by default: the example's faults
// are meant, and the table tells them better.
func newLogger(level string) (*zap.Logger, error) {
	if level == "off" {
		return zap.NewNop(), nil
	}
	return telemetry.NewLogger(os.Stderr, "console", level) //nolint:wrapcheck // it names the flag's value
}

func announce(out io.Writer, s *stack.Stack) {
	fmt.Fprintf(out, `Web UI    %s/namespaces/%s/workflows
Temporal  %s
Sandbox   %s (journal: /_sandbox/journal)
Metrics   %s
`, s.UIAddress, stack.Namespace, s.TemporalAddress, s.SandboxURL, s.MetricsURL)
}
