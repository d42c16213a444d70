// Package ingest replays a routing system's event log, one CloudEvent per line,
// into the conversations.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/sender"
)

// Options are the settings of [Run].
type Options struct {
	// From is the first line to send, counted from 1. Default 1.
	From int
	// Concurrency is how many conversations get events at the same time. The
	// events of one conversation stay in order. Default 64.
	Concurrency int
	// Paced keeps the time between events, divided by Speed (default 1). The
	// events are then sent with the current time instead of their own.
	Paced bool
	Speed float64
	// Coalesce sends, of the messages of a conversation between two other events of it,
	// only the one with the latest time. A message is held back for at most a second.
	// A paced run does not coalesce.
	Coalesce bool
	// Rejects, if set, gets every rejected line, unchanged.
	Rejects io.Writer
	// Report is called for what a person should see at once: a rejected line, and
	// the start and the end of a wait for Temporal. It never gets personal data. It is
	// called from several goroutines.
	Report func(format string, args ...any)
	// Progress counts events. Default: a new one.
	Progress *Progress
}

// Interrupted is the error of a run that was stopped before its end.
type Interrupted struct {
	// NextLine is the line to continue from. Later lines may have been sent
	// already. It does no harm to send them again.
	NextLine int
	// Cause is the context's error or Temporal's answer.
	Cause error
}

// Error implements error.
func (e *Interrupted) Error() string {
	if errors.Is(e.Cause, context.Canceled) {
		return fmt.Sprintf("interrupted; continue with -from %d", e.NextLine)
	}
	return fmt.Sprintf("stopped: %v; continue with -from %d", e.Cause, e.NextLine)
}

// Unwrap returns the cause.
func (e *Interrupted) Unwrap() error { return e.Cause }

// Run sends the log to its end. Malformed lines and events that Temporal rejects
// are reported, counted and left out. While Temporal cannot be reached, Run waits.
// It stops when ctx ends, even if a read of the log blocks (an idle pipe): that
// read is abandoned. The error is an [*Interrupted], or a [*FormatError] if the log has
// another format.
func Run(ctx context.Context, log io.Reader, s *sender.Sender, o Options) error {
	r := newRun(s, o)
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range r.partitions {
		group.Go(func() error { return r.sendAll(ctx, p) })
	}
	group.Go(func() error {
		defer r.closePartitions()
		return r.read(ctx, newLines(cancelableReader(ctx, log)))
	})
	err := group.Wait()
	if wrong, ok := errors.AsType[*FormatError](err); ok {
		return wrong
	}
	if err != nil {
		return &Interrupted{NextLine: r.offsets.next(), Cause: err}
	}
	return nil
}

// run is the state of one [Run].
type run struct {
	Options
	sender  *sender.Sender
	offsets *offsets
	rejects *rejects
	outage  *outage
	// clock is nil unless the run is paced.
	clock *replayClock
	seed  maphash.Seed
	// partitions have one goroutine each. All events of a conversation go to the
	// same partition, which keeps their order.
	partitions []partition
	// formatKnown: the first line that is sent was looked at.
	formatKnown bool
	// accepted is set by the first event that Temporal accepts.
	accepted atomic.Bool
}

type partition chan task

// task is an event to send, with its line.
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
		Options: o, sender: s, offsets: newOffsets(o.From),
		rejects: &rejects{out: o.Rejects}, outage: &outage{report: o.Report},
		seed: maphash.MakeSeed(), partitions: make([]partition, o.Concurrency),
	}
	if o.Paced {
		r.Coalesce = false
		r.clock = &replayClock{speed: o.Speed}
		if o.Speed <= 0 {
			r.clock.speed = 1
		}
	}
	for i := range r.partitions {
		r.partitions[i] = make(partition, 16)
	}
	return r
}

func (r *run) closePartitions() {
	for _, p := range r.partitions {
		close(p)
	}
}

func (r *run) read(ctx context.Context, log *lines) error {
	for {
		l, err := log.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.dispatch(ctx, l); err != nil {
			return err
		}
	}
}

// dispatch hands the event of a line to the partition of its conversation.
func (r *run) dispatch(ctx context.Context, l line) error {
	text := l.content()
	tooLong := l.rest != nil || len(text) > maxLine
	switch {
	case l.number < r.From:
		return skip(l)
	case len(text) == 0 && !tooLong:
		return nil
	}
	if !r.formatKnown {
		if !tooLong && isBlank(text) {
			return nil
		}
		if err := checkFormat(text); err != nil {
			return err
		}
		r.formatKnown = true
	}
	r.offsets.begin(l.number)
	if tooLong {
		return r.reject(l, fmt.Errorf("longer than %d bytes", maxLine))
	}
	event, err := cloudevent.Parse(text)
	if err != nil {
		return r.reject(l, err)
	}
	conversation := maphash.String(r.seed, event.Identity.WorkflowID())
	r.Progress.addConversation(conversation)
	r.Progress.addLateness(event.At, time.Now())
	if r.clock != nil {
		if event, err = r.clock.wait(ctx, event); err != nil {
			return err
		}
	}
	select {
	case r.partitions[conversation%uint64(len(r.partitions))] <- task{line: l, event: event}:
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

// reject writes a bad line to the rejects. If that fails, the line does not count
// as done.
func (r *run) reject(l line, cause error) error {
	if err := r.rejects.write(l); err != nil {
		return err
	}
	r.Report("line %d rejected: %v", l.number, cause)
	r.Progress.rejected.Add(1)
	r.offsets.done(l.number)
	return nil
}
