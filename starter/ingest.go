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
		Usage:     "send a routing system's event log to the conversations",
		ArgsUsage: "FILE|-",
		Description: "Reads newline-delimited CloudEvents 1.0 of the types sessionkeeper.conversation.started, .message,\n" +
			".closed and .session-status. Events may be out of order or repeated. A malformed line is reported,\n" +
			"written to -rejects and left out; the exit status is then 1. While Temporal is unreachable, it waits.\n" +
			"When interrupted, it prints the line to continue from.\n\n" +
			"From a file, and with -window, a message is held back for at most a second. Messages of a conversation\n" +
			"that are read in this time, without another event between them, become one, whatever their age: the one\n" +
			"with the latest time. With -paced every message is sent.\n\n" +
			"With -window, the first message of a window is then reported. Those that follow are absorbed, and the\n" +
			"last one is reported at the end of the window. The cost then depends on how long a conversation lasts,\n" +
			"not on how many messages it has. The window must be at most the shortest inactivateAfter.\n\nExamples:\n" +
			"   starter ingest -rejects rejects.ndjson events.ndjson\n" +
			"   tail -F events.ndjson | starter ingest -window 5m -\n" +
			"   starter ingest -paced -speed 10 events.ndjson",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "paced", Usage: "keep the time between events; they are sent with the current time"},
			&cli.FloatFlag{Name: "speed", Usage: "with -paced: `N` times as fast", Value: 1},
			&cli.StringFlag{Name: "rejects", Usage: "write rejected lines, unchanged, to `FILE`"},
			&cli.IntFlag{Name: "from", Usage: "first line to send", Value: 1},
			&cli.DurationFlag{
				Name: "window", Usage: "how long messages are absorbed between two reports; 0 reports every message",
			},
			&cli.IntFlag{
				Name: "concurrency", Value: 64, Usage: "`NUMBER` of conversations that get events at the same time, 1 to 1024",
			},
		},
		Action: withSender(runIngest),
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
	options.Coalesce = c.Duration("window") > 0 || isRegular(log)
	if path := c.String("rejects"); path != "" {
		rejects, err := openRejects(path, log)
		if err != nil {
			return err
		}
		defer rejects.Close()
		options.Rejects = rejects
	}
	view := newProgressView(os.Stderr, options.Progress)
	options.Report = view.report
	stop := view.start()
	err = ingest.Run(ctx, log, s, options)
	if undrained := flush(ctx, s); undrained != nil {
		options.Report("%v", undrained)
		// The lines of the unreported messages are not known, so all lines must be sent
		// again.
		err = &ingest.Interrupted{NextLine: options.From, Cause: cmp.Or(err, undrained)}
	}
	stop()
	if err != nil {
		return err
	}
	if n := options.Progress.Rejected(); n > 0 {
		return fmt.Errorf("rejected lines: %d", n)
	}
	return nil
}

// flushTimeout is how long Temporal may take for the last reports.
var flushTimeout = 30 * time.Second

// flush reports the absorbed messages, also after an interrupt.
func flush(ctx context.Context, s *sender.Sender) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	return s.Close(ctx)
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
	case !(o.Speed >= 0.001 && o.Speed <= 1e6): // negated, so that NaN is rejected
		return o, fmt.Errorf("-speed %v: want a number from 0.001 to 1000000", o.Speed)
	case o.From < 1:
		return o, fmt.Errorf("-from %d: lines are counted from 1", o.From)
	case c.Duration("window") < 0:
		return o, fmt.Errorf("-window %s: want 0 or more", c.Duration("window"))
	case o.Concurrency < 1 || o.Concurrency > maxConcurrency:
		return o, fmt.Errorf("-concurrency %d: want 1 to %d", o.Concurrency, maxConcurrency)
	default:
		return o, nil
	}
}

// maxConcurrency limits the memory of messages that are held back: each of the
// conversations that get events at the same time may hold 1 MiB.
const maxConcurrency = 1024

func isRegular(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode().IsRegular()
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

// openRejects opens the file for rejected lines. It is private: they may contain
// personal data.
func openRejects(path string, log *os.File) (*os.File, error) {
	//nolint:gosec // the operator names the file
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open -rejects: %w", err)
	}
	if isSameFile(file, log) {
		defer file.Close()
		return nil, fmt.Errorf("-rejects %s: want another file than the event log", path)
	}
	return file, nil
}

func isSameFile(a, b *os.File) bool {
	first, err := a.Stat()
	if err != nil {
		return false
	}
	second, err := b.Stat()
	return err == nil && first.Mode().IsRegular() && os.SameFile(first, second)
}
