// Package ingest plays a routing system's event log, one CloudEvent a line,
// into the conversations.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/sender"
)

// Options are the settings of [Run].
type Options struct {
	// From is the first line to play, counted from 1. Default 1.
	From int
	// Concurrency is how many conversations are spoken to at once; the events of
	// one conversation stay in order. Default 64.
	Concurrency int
	// Paced keeps the gaps between the events' times, Speed times faster
	// (default 1). The events then happen now, not at their own times.
	Paced bool
	Speed float64
	// Rejects, where set, gets every line that was rejected, unchanged.
	Rejects io.Writer
	// Report is called for what a person should see at once: a rejected line, a
	// wait for Temporal and its end. Never with personal data. It is called from
	// several goroutines.
	Report func(format string, args ...any)
	// Progress counts what happens. Default: a new one.
	Progress *Progress
}

// Interrupted is the error of a run that was stopped before its end.
type Interrupted struct {
	// NextLine is the line to go on from. Lines behind it may have been sent
	// already; sending them again does no harm.
	NextLine int
	// Cause is why: the context's error, or what Temporal answered.
	Cause error
}

// Error implements error.
func (e *Interrupted) Error() string {
	if errors.Is(e.Cause, context.Canceled) {
		return fmt.Sprintf("interrupted; go on with -from %d", e.NextLine)
	}
	return fmt.Sprintf("stopped: %v; go on with -from %d", e.Cause, e.NextLine)
}

// Unwrap returns the cause.
func (e *Interrupted) Unwrap() error { return e.Cause }

// Run plays the log to its end. Malformed lines and events that Temporal
// refuses are reported, counted and left out. While Temporal cannot be reached
// it waits. It stops when ctx does, even if the log is a pipe that is silent;
// such a read is left behind. The error is an [*Interrupted].
func Run(ctx context.Context, log io.Reader, s *sender.Sender, o Options) error {
	r := newRun(s, o)
	group, ctx := errgroup.WithContext(ctx)
	for _, lane := range r.lanes {
		group.Go(func() error { return r.work(ctx, lane) })
	}
	group.Go(func() error {
		defer r.closeLanes()
		return r.read(ctx, newLines(unblocked(ctx, log)))
	})
	if err := group.Wait(); err != nil {
		return &Interrupted{NextLine: r.ledger.next(), Cause: err}
	}
	return nil
}

// run is one play of a log.
type run struct {
	Options
	sender  *sender.Sender
	ledger  *ledger
	rejects *rejects
	outage  *outage
	pace    *pace
	seed    maphash.Seed
	lanes   []chan task
	// accepted is set by the first event that Temporal takes.
	accepted atomic.Bool
}

// task is an event to tell, with the line it stands on.
type task struct {
	line
	event cloudevent.Event
}

func newRun(s *sender.Sender, o Options) *run {
	o.From = max(o.From, 1)
	if o.Concurrency < 1 {
		o.Concurrency = 64
	}
	if o.Report == nil {
		o.Report = func(string, ...any) {}
	}
	if o.Rejects == nil {
		o.Rejects = io.Discard
	}
	if o.Progress == nil {
		o.Progress = NewProgress()
	}
	r := &run{
		Options: o, sender: s, ledger: newLedger(o.From), rejects: &rejects{out: o.Rejects}, outage: &outage{report: o.Report},
		seed: maphash.MakeSeed(), lanes: make([]chan task, o.Concurrency),
	}
	if o.Paced {
		r.pace = &pace{speed: o.Speed}
		if o.Speed <= 0 {
			r.pace.speed = 1
		}
	}
	for i := range r.lanes {
		r.lanes[i] = make(chan task, 16)
	}
	return r
}

func (r *run) closeLanes() {
	for _, lane := range r.lanes {
		close(lane)
	}
}

// read hands every event to the lane of its conversation.
func (r *run) read(ctx context.Context, log *lines) error {
	for {
		l, err := log.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.take(ctx, l); err != nil {
			return err
		}
	}
}

func (r *run) take(ctx context.Context, l line) error {
	said := l.content()
	tooLong := l.rest != nil || len(said) > maxLine
	switch {
	case l.number < r.From:
		return skip(l)
	case len(said) == 0 && !tooLong:
		return nil
	}
	r.ledger.open(l.number)
	if tooLong {
		return r.reject(l, fmt.Errorf("longer than %d bytes", maxLine))
	}
	event, err := cloudevent.Parse(said)
	if err != nil {
		return r.reject(l, err)
	}
	conversation := maphash.String(r.seed, event.Identity.WorkflowID())
	r.Progress.conversation(conversation)
	if r.pace != nil {
		if event, err = r.pace.wait(ctx, event); err != nil {
			return err
		}
	}
	select {
	case r.lanes[conversation%uint64(len(r.lanes))] <- task{line: l, event: event}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func skip(l line) error {
	if l.rest == nil {
		return nil
	}
	return l.rest(io.Discard)
}

// reject keeps a bad line. A line whose rejection cannot be written counts as
// not done.
func (r *run) reject(l line, why error) error {
	if err := r.rejects.keep(l); err != nil {
		return err
	}
	r.Report("line %d rejected: %v", l.number, why)
	r.Progress.rejected.Add(1)
	r.ledger.done(l.number)
	return nil
}
