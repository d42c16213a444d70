package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v3"

	"sessionkeeper/internal/ingest"
	"sessionkeeper/sender"
)

func ingestCommand() *cli.Command {
	return &cli.Command{
		Name:      "ingest",
		Usage:     "play a routing system's event log into the conversations",
		ArgsUsage: "FILE|-",
		Description: "Reads newline-delimited CloudEvents 1.0 of the types sessionkeeper.conversation.started, .message,\n" +
			".closed and .session-status. Events may be out of order or repeated. A malformed line is reported,\n" +
			"written to -rejects and left out; the exit status is then 1. While Temporal is away it waits.\n" +
			"Interrupted, it says from which line to go on.\n\n" +
			"With -window, messages are absorbed and the last one of a window is reported, so that a conversation\n" +
			"costs by its length and not by its messages. Give half of the shortest inactivateAfter.\n\nExamples:\n" +
			"   starter ingest -rejects rejects.ndjson events.ndjson\n" +
			"   tail -F events.ndjson | starter ingest -window 5m -\n" +
			"   starter ingest -paced -speed 10 events.ndjson",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "paced", Usage: "keep the gaps between the events' times; they then happen now"},
			&cli.FloatFlag{Name: "speed", Usage: "with -paced: `N` times faster", Value: 1},
			&cli.StringFlag{Name: "rejects", Usage: "write rejected lines, unchanged, to `FILE`"},
			&cli.IntFlag{Name: "from", Usage: "first line to play", Value: 1},
			&cli.DurationFlag{Name: "window", Usage: "absorb messages for so long between two reports; 0 reports every one"},
			&cli.IntFlag{Name: "concurrency", Usage: "conversations spoken to at once", Value: 64},
		},
		Action: connected(runIngest),
	}
}

func runIngest(ctx context.Context, c *cli.Command, s *sender.Sender) error {
	options, err := ingestOptions(c)
	if err != nil {
		return err
	}
	log, err := open(c.Args().First())
	if err != nil {
		return err
	}
	defer log.Close()
	if path := c.String("rejects"); path != "" {
		rejects, err := openRejects(path, log)
		if err != nil {
			return err
		}
		defer rejects.Close()
		options.Rejects = rejects
	}
	view := newProgressView(os.Stderr, options.Progress)
	options.Report = view.say
	stop := view.start()
	err = ingest.Run(ctx, log, s, options)
	if left := flush(ctx, s); left != nil {
		options.Report("%v", left)
		// Which lines those messages stand on is not known: all may be sent again.
		err = &ingest.Interrupted{NextLine: options.From, Cause: cmp.Or(err, left)}
	}
	stop()
	if err != nil {
		return err //nolint:wrapcheck // it says from which line to go on
	}
	if n := options.Progress.Rejected(); n > 0 {
		return fmt.Errorf("rejected lines: %d", n)
	}
	return nil
}

// flushTimeout is how long Temporal may take for what is left at the end.
var flushTimeout = 30 * time.Second

// flush reports what was absorbed, also when the run was interrupted.
func flush(ctx context.Context, s *sender.Sender) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	return s.Close(ctx) //nolint:wrapcheck // it says what is left
}

func ingestOptions(c *cli.Command) (ingest.Options, error) {
	o := ingest.Options{
		From: c.Int("from"), Concurrency: c.Int("concurrency"),
		Paced: c.Bool("paced"), Speed: c.Float("speed"),
		Progress: ingest.NewProgress(),
	}
	switch {
	case c.Args().Len() != 1:
		return o, errors.New("want one argument: a file, or - for standard input")
	case !(o.Speed >= 0.001 && o.Speed <= 1e6): // written so that it holds for NaN, too
		return o, fmt.Errorf("-speed %v: want a number from 0.001 to 1000000", o.Speed)
	case o.From < 1:
		return o, fmt.Errorf("-from %d: lines are counted from 1", o.From)
	case c.Duration("window") < 0:
		return o, fmt.Errorf("-window %s: want 0 or more", c.Duration("window"))
	case o.Concurrency < 1:
		return o, fmt.Errorf("-concurrency %d: want at least 1", o.Concurrency)
	default:
		return o, nil
	}
}

func open(name string) (*os.File, error) {
	if name == "-" {
		return os.Stdin, nil
	}
	file, err := os.Open(name) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("open the event log: %w", err)
	}
	return file, nil
}

// openRejects opens the file for rejected lines, which may hold personal data.
func openRejects(path string, log *os.File) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("open -rejects: %w", err)
	}
	if same(file, log) {
		defer file.Close()
		return nil, fmt.Errorf("-rejects %s: is the event log itself", path)
	}
	return file, nil
}

func same(a, b *os.File) bool {
	first, err := a.Stat()
	if err != nil {
		return false
	}
	second, err := b.Stat()
	return err == nil && first.Mode().IsRegular() && os.SameFile(first, second)
}
