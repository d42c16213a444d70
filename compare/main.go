// Command bench runs the same job on every way to keep the idle clocks of
// conversations, one after the other, and prints one table. The stores are real
// servers, which it starts for the time of the run.
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

	"github.com/urfave/cli/v3"

	"sessionkeeper/compare/engine"
	"sessionkeeper/compare/job"
	"sessionkeeper/compare/report"
	"sessionkeeper/compare/stores"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := app().Run(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // the process ends here, stop has nothing left to do
	}
}

func app() *cli.Command {
	return &cli.Command{
		Name:  "bench",
		Usage: "compare ways to keep the idle clocks of conversations",
		Description: "Needs the Debian packages postgresql and redis-server: it starts servers of its own from\n" +
			"them, on free ports, and stops them at the end.\n\n" +
			"Example:\n   go run -C bench . -short",
		HideVersion: true,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "short", Usage: "less than five minutes, for a look; published figures need the full run"},
			&cli.StringSliceFlag{Name: "engines", Usage: "only these `KEYS`, with commas between them (default: all)"},
			&cli.StringFlag{Name: "out", Usage: "`FOLDER` for the results: JSON, Markdown and charts (default: none)"},
		},
		Commands:       []*cli.Command{measureCommand()},
		Action:         run,
		ExitErrHandler: func(context.Context, *cli.Command, error) {}, // main prints errors, once
	}
}

func run(ctx context.Context, c *cli.Command) (err error) {
	if c.Args().Present() {
		return fmt.Errorf("unexpected argument %q; see bench -help", c.Args().First())
	}
	engines, err := engine.Choose(c.StringSlice("engines"))
	if err != nil {
		return err
	}
	plan := job.Full()
	if c.Bool("short") {
		plan = job.Short()
	}
	began := time.Now()
	servers, err := stores.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Stop()) }()

	r := report.Report{Began: began, Plan: plan, Environment: report.ThisEnvironment(servers.Servers)}
	fmt.Fprintln(os.Stderr, report.Parameters(plan))
	for _, e := range engines {
		result := apart(ctx, assignment{Engine: e.Key, Servers: servers.Servers, Plan: plan}, e.Name)
		if ctx.Err() != nil {
			return fmt.Errorf("stopped at %s: %w", e.Name, ctx.Err())
		}
		r.Results = append(r.Results, result)
	}
	r.Took = time.Since(began)
	return finish(r, os.Stdout, c.String("out"))
}

func finish(r report.Report, w io.Writer, folder string) error {
	if err := r.Print(w); err != nil {
		return err
	}
	if folder == "" {
		return nil
	}
	return r.Write(folder)
}
