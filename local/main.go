// Command local runs everything in one process: a real Temporal server with its
// Web UI, a simulator of Salesforce and our worker. It plays the example
// conversations and then keeps serving, so that you can try things.
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

	"sessionkeeper/internal/demo"
	"sessionkeeper/local/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second interrupt ends the process at once.
	context.AfterFunc(ctx, stop)
	err := app().Run(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "local:", err)
		os.Exit(1)
	}
}

func app() *cli.Command {
	return &cli.Command{
		Name:  "local",
		Usage: "run Temporal, its Web UI, a simulated Salesforce and the worker in one process",
		Description: "Plays the example conversations, which takes a minute and a half, prints what each did, and then\n" +
			"keeps serving until it is interrupted.\n\n" +
			"Examples:\n   go run -C local .\n   go run -C local . -once -db /tmp/sessionkeeper.db",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "once", Usage: "exit after the play: 0 if every conversation ended as it must, else 1"},
			&cli.BoolFlag{Name: "idle", Usage: "do not play the example conversations"},
			&cli.StringFlag{Name: "db", Usage: "keep Temporal's state in `FILE` (default: in memory)"},
			&cli.BoolFlag{Name: "encrypt", Usage: "encrypt payloads, and start a codec server for the Web UI"},
			&cli.IntFlag{Name: "codec-port", Usage: "with -encrypt: codec server's `PORT`", Value: 8082},
			&cli.IntFlag{Name: "temporal-port", Usage: "Temporal's `PORT`; with 0, here and below, any free port", Value: 7233},
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
	if c.Bool("encrypt") && c.Int("codec-port") == 0 {
		return errors.New("-codec-port must not be 0: the Web UI has to know it")
	}
	logger, err := demo.NewLogger(c.String("log-level"))
	if err != nil {
		return err
	}
	options := stack.Options{
		DBFile: c.String("db"), UI: true, Logger: logger,
		TemporalPort: c.Int("temporal-port"), UIPort: c.Int("ui-port"),
		SandboxPort: c.Int("sandbox-port"), MetricsPort: c.Int("metrics-port"),
	}
	var encrypted *encryption
	if c.Bool("encrypt") {
		if encrypted, err = newEncryption(c.String("db"), c.Int("codec-port")); err != nil {
			return err
		}
		options.Keys, options.UICodecEndpoint = encrypted.keys, "http://"+encrypted.address
	}
	s, err := stack.Start(ctx, options)
	if err != nil {
		return err
	}
	defer s.Stop()
	out := c.Root().Writer
	announce(out, s)
	if encrypted != nil {
		stop, err := encrypted.serve(ctx, s)
		if err != nil {
			return err
		}
		defer func() { _ = stop() }()
		fmt.Fprintf(out, "Codec     http://%s\n"+
			"The Web UI shows ciphertext. To let it decrypt, open the codec server in the same browser, with any\n"+
			"name and this password: %s\n", encrypted.address, encrypted.token)
	}
	if !c.Bool("idle") {
		fmt.Fprintln(out, "Playing the example conversations; this takes a minute and a half.")
		target := demo.Target{Temporal: s.Temporal, TaskQueue: s.Config.TaskQueue, Sandbox: s.Sandbox}
		err = demo.Play(ctx, target, out)
	}
	switch {
	case ctx.Err() != nil && c.Bool("once"):
		return errors.New("interrupted before every conversation had ended")
	case ctx.Err() != nil:
		return nil
	case c.Bool("once"):
		return err
	case err != nil:
		fmt.Fprintln(os.Stderr, "local:", err)
	}
	fmt.Fprintln(out, "Serving until interrupted (Ctrl-C).")
	<-ctx.Done()
	return nil
}

func announce(out io.Writer, s *stack.Stack) {
	fmt.Fprintf(out, `Web UI    %s/namespaces/%s/workflows
Temporal  %s
Sandbox   %s (journal: /_sandbox/journal)
Metrics   %s
`, s.UIAddress, stack.Namespace, s.TemporalAddress, s.SandboxURL, s.MetricsURL)
}
