// Package ingest plays a routing system's event log, one CloudEvent a line,
// into the conversations.
package ingest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.temporal.io/api/serviceerror"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
	"sessionkeeper/starter/events"
)

// maxLine bounds one event, in bytes. CloudEvents asks consumers to take at
// least 64 KiB.
const maxLine = 1 << 20

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
	// wait for Temporal. Never with personal data.
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
	return fmt.Sprintf("stopped: %v; go on with -from %d", e.Cause, e.NextLine)
}

// Unwrap returns the cause.
func (e *Interrupted) Unwrap() error { return e.Cause }

// Run plays the log to its end. Malformed lines and events that Temporal
// refuses are reported, counted and left out. While Temporal cannot be reached
// it waits. The error is an [*Interrupted].
func Run(ctx context.Context, log io.Reader, s *sender.Sender, o Options) error {
	r := newRun(s, o)
	group, ctx := errgroup.WithContext(ctx)
	for _, lane := range r.lanes {
		group.Go(func() error { return r.work(ctx, lane) })
	}
	group.Go(func() error {
		defer r.closeLanes()
		return r.read(ctx, log)
	})
	if err := group.Wait(); err != nil {
		return &Interrupted{NextLine: r.ledger.next(), Cause: err}
	}
	return nil
}

// run is one play of a log.
type run struct {
	Options
	sender *sender.Sender
	ledger *ledger
	pace   *pace
	seed   maphash.Seed
	lanes  []chan line
}

// line is an event with the line it stands on.
type line struct {
	number int
	event  events.Event
}

func newRun(s *sender.Sender, o Options) *run {
	o.From = max(o.From, 1)
	if o.Concurrency < 1 {
		o.Concurrency = 64
	}
	if o.Report == nil {
		o.Report = func(string, ...any) {}
	}
	if o.Progress == nil {
		o.Progress = NewProgress()
	}
	r := &run{Options: o, sender: s, ledger: newLedger(o.From), seed: maphash.MakeSeed(), lanes: make([]chan line, o.Concurrency)}
	if o.Paced {
		r.pace = &pace{speed: o.Speed}
	}
	for i := range r.lanes {
		r.lanes[i] = make(chan line, 16)
	}
	return r
}

func (r *run) closeLanes() {
	for _, lane := range r.lanes {
		close(lane)
	}
}

// read hands every event to the lane of its conversation.
func (r *run) read(ctx context.Context, log io.Reader) error {
	reader := bufio.NewReaderSize(log, 64<<10)
	for number := 1; ; number++ {
		text, tooLong, err := readLine(reader)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read line %d: %w", number, err)
		}
		last := err != nil
		if number >= r.From && (len(text) > 0 || tooLong) {
			if err := r.take(ctx, number, text, tooLong); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

func (r *run) take(ctx context.Context, number int, text []byte, tooLong bool) error {
	if strings.TrimSpace(string(text)) == "" {
		return nil
	}
	r.ledger.open(number)
	if tooLong {
		return r.reject(number, text, fmt.Errorf("longer than %d bytes", maxLine))
	}
	event, err := events.Parse(text)
	if err != nil {
		return r.reject(number, text, err)
	}
	r.Progress.conversation(maphash.String(r.seed, event.Identity.WorkflowID()))
	if r.pace != nil {
		if event, err = r.pace.wait(ctx, event); err != nil {
			return err
		}
	}
	lane := r.lanes[maphash.String(r.seed, event.Identity.WorkflowID())%uint64(len(r.lanes))]
	select {
	case lane <- line{number: number, event: event}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reject keeps a bad line. A line whose rejection cannot be written counts as
// not done.
func (r *run) reject(number int, text []byte, why error) error {
	if r.Rejects != nil {
		if _, err := fmt.Fprintf(r.Rejects, "%s\n", text); err != nil {
			return fmt.Errorf("write rejected line %d: %w", number, err)
		}
	}
	r.Report("line %d rejected: %v", number, why)
	r.Progress.rejected.Add(1)
	r.ledger.done(number)
	return nil
}

// work tells the events of one lane, in order.
func (r *run) work(ctx context.Context, lane <-chan line) error {
	for l := range lane {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := r.tell(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) tell(ctx context.Context, l line) error {
	receipt, err := backoff.Retry(ctx, func() (sender.Receipt, error) {
		attempt, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		receipt, err := l.event.Tell(attempt, r.sender)
		if err != nil && !passing(err) {
			return receipt, backoff.Permanent(err)
		}
		return receipt, err
	}, backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, wait time.Duration) {
		r.Progress.waits.Add(1)
		r.Report("line %d: waiting %s for Temporal: %v", l.number, wait.Round(100*time.Millisecond), err)
	}))
	switch {
	case err == nil:
		r.Progress.count(receipt)
		r.ledger.done(l.number)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case refused(err):
		r.Report("line %d refused: %v", l.number, err)
		r.Progress.rejected.Add(1)
		r.ledger.done(l.number)
		return nil
	default:
		return fmt.Errorf("line %d: %w", l.number, err)
	}
}

// passing reports whether an error goes away by waiting.
func passing(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	switch code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Internal, codes.Unknown:
		return true
	default:
		return false
	}
}

// refused reports whether only this event is at fault.
func refused(err error) bool {
	var invalid *conversation.InvalidError
	return errors.As(err, &invalid) || code(err) == codes.InvalidArgument
}

func code(err error) codes.Code {
	var service serviceerror.ServiceError
	if errors.As(err, &service) {
		return service.Status().Code()
	}
	return codes.OK
}

// readLine reads one line without its end. What goes beyond maxLine is skipped.
func readLine(reader *bufio.Reader) (text []byte, tooLong bool, err error) {
	for {
		part, err := reader.ReadSlice('\n')
		if room := maxLine - len(text); len(part) > room+1 {
			text, tooLong = append(text, part[:max(room, 0)]...), true
		} else {
			text = append(text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return trimEnd(text), tooLong, err
		}
	}
}

func trimEnd(text []byte) []byte {
	for len(text) > 0 && (text[len(text)-1] == '\n' || text[len(text)-1] == '\r') {
		text = text[:len(text)-1]
	}
	return text
}
