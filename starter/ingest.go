package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"sessionkeeper/sender"
	"sessionkeeper/starter/ingest"
)

func ingestCommand() *cli.Command {
	return &cli.Command{
		Name:      "ingest",
		Usage:     "play a routing system's event log into the conversations",
		ArgsUsage: "FILE|-",
		Description: "Reads newline-delimited CloudEvents 1.0 of the types sessionkeeper.conversation.started, .message,\n" +
			".closed and .session-status. Events may be out of order or repeated. A malformed line is reported,\n" +
			"written to -rejects and left out; the exit status is then 1. While Temporal is away it waits.\n" +
			"Interrupted, it says from which line to go on.\n\nExamples:\n" +
			"   starter ingest -rejects rejects.ndjson events.ndjson\n" +
			"   tail -F events.ndjson | starter ingest -\n" +
			"   starter ingest -paced -speed 10 events.ndjson",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "paced", Usage: "keep the gaps between the events' times; they then happen now"},
			&cli.FloatFlag{Name: "speed", Usage: "with -paced: `N` times faster", Value: 1},
			&cli.StringFlag{Name: "rejects", Usage: "write rejected lines, unchanged, to `FILE`"},
			&cli.IntFlag{Name: "from", Usage: "first line to play", Value: 1},
			&cli.IntFlag{Name: "concurrency", Usage: "conversations spoken to at once", Value: 64},
		},
		Action: connected(runIngest),
	}
}

func runIngest(ctx context.Context, c *cli.Command, s *sender.Sender) error {
	if c.Args().Len() != 1 {
		return errors.New("want one argument: a file, or - for standard input")
	}
	if c.Float("speed") <= 0 {
		return fmt.Errorf("-speed %v: want a number above 0", c.Float("speed"))
	}
	log, err := open(c.Args().First())
	if err != nil {
		return err
	}
	defer log.Close()
	options := ingest.Options{
		From: c.Int("from"), Concurrency: c.Int("concurrency"),
		Paced: c.Bool("paced"), Speed: c.Float("speed"),
		Progress: ingest.NewProgress(),
	}
	if path := c.String("rejects"); path != "" {
		// The lines may hold personal data.
		rejects, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // the operator names the file
		if err != nil {
			return fmt.Errorf("open -rejects: %w", err)
		}
		defer rejects.Close()
		options.Rejects = rejects
	}
	view := newProgressView(os.Stderr, options.Progress)
	options.Report = view.say
	stop := view.start()
	err = ingest.Run(ctx, unblocked(ctx, log), s, options)
	stop()
	if err != nil {
		return err //nolint:wrapcheck // it says from which line to go on
	}
	if n := options.Progress.Rejected(); n > 0 {
		return fmt.Errorf("%d lines rejected", n)
	}
	return nil
}

func open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return os.Stdin, nil
	}
	file, err := os.Open(name) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("open the event log: %w", err)
	}
	return file, nil
}

// unblocked ends a read that waits for input, such as that of a pipe, when the
// context does.
func unblocked(ctx context.Context, r io.Reader) io.Reader {
	pipe, feed := io.Pipe()
	context.AfterFunc(ctx, func() { feed.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(feed, r)
		feed.CloseWithError(err)
	}()
	return pipe
}

// progressView shows a run: a live line on a terminal, plain lines otherwise.
type progressView struct {
	mu       sync.Mutex
	out      io.Writer
	live     bool
	every    time.Duration
	progress *ingest.Progress
}

func newProgressView(out *os.File, progress *ingest.Progress) *progressView {
	live := term.IsTerminal(int(out.Fd()))
	every := 10 * time.Second
	if live {
		every = 200 * time.Millisecond
	}
	return &progressView{out: out, live: live, every: every, progress: progress}
}

// start shows the progress from time to time, until stop shows it a last time.
func (v *progressView) start() (stop func()) {
	ticker := time.NewTicker(v.every)
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-ticker.C:
				v.show(false)
			case <-done:
				return
			}
		}
	})
	return func() {
		ticker.Stop()
		close(done)
		watching.Wait()
		v.show(true)
	}
}

const clearLine = "\r\x1b[K"

func (v *progressView) show(last bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.live && last:
		fmt.Fprintf(v.out, "%s%s\n", clearLine, v.progress)
	case v.live:
		fmt.Fprintf(v.out, "%s%s", clearLine, v.progress)
	default:
		fmt.Fprintln(v.out, v.progress)
	}
}

func (v *progressView) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.live {
		fmt.Fprint(v.out, clearLine)
	}
	fmt.Fprintf(v.out, format+"\n", args...)
}
