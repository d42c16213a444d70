// Command compare does the same job with several ways to keep the idle clocks of
// conversations, one after the other, and prints one table. The stores are real
// servers, which it starts and stops.
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
	err := newCommand().Run(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func newCommand() *cli.Command {
	return &cli.Command{
		Name:  "compare",
		Usage: "compare ways to keep the idle clocks of conversations",
		Description: "Needs the Debian packages postgresql and redis-server. It starts servers of its own\n" +
			"on free ports, and stops them at the end.\n\n" +
			"Example:\n   go run -C compare . -short",
		HideVersion: true,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "short", Usage: "take less than five minutes; too short for figures to publish"},
			&cli.StringSliceFlag{Name: "engines", Usage: "measure only these engines: `KEYS`, separated by commas"},
			&cli.StringFlag{Name: "out", Usage: "write the results to `FOLDER` as JSON, Markdown and charts"},
		},
		Commands:       []*cli.Command{measureCommand()},
		Action:         run,
		ExitErrHandler: func(context.Context, *cli.Command, error) {}, // main prints the error
	}
}

func run(ctx context.Context, c *cli.Command) (err error) {
	if c.Args().Present() {
		return fmt.Errorf("unexpected argument %q; see compare -help", c.Args().First())
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

	r := report.Report{Began: began, Plan: plan, Environment: report.CurrentEnvironment(servers.Servers)}
	fmt.Fprintln(os.Stderr, report.Parameters(plan))
	for _, e := range engines {
		request := measureRequest{Engine: e.Key, Servers: servers.Servers, Plan: plan}
		result := measureInSubprocess(ctx, request, e.Name)
		if ctx.Err() != nil {
			return fmt.Errorf("stopped at %s: %w", e.Name, ctx.Err())
		}
		r.Results = append(r.Results, result)
	}
	r.Took = time.Since(began)
	return output(r, os.Stdout, c.String("out"))
}

func output(r report.Report, w io.Writer, folder string) error {
	if err := r.Print(w); err != nil {
		return err
	}
	if folder == "" {
		return nil
	}
	return r.Write(folder)
}
