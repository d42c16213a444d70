package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

func defaultLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// logger is the server's logger on slog. The server's info is our debug, and
// until settled (while services start or stop and miss each other for a
// moment) so are its warnings and errors: what matters then, Start returns.
type logger struct {
	out     *slog.Logger
	settled *atomic.Bool
}

var (
	_ log.Logger     = (*logger)(nil)
	_ log.WithLogger = (*logger)(nil)
)

func newLogger(out *slog.Logger) *logger { return &logger{out: out, settled: new(atomic.Bool)} }

func (l *logger) settle()   { l.settled.Store(true) }
func (l *logger) unsettle() { l.settled.Store(false) }

func (l *logger) With(tags ...tag.Tag) log.Logger {
	return &logger{out: slog.New(l.out.Handler().WithAttrs(attributes(tags))), settled: l.settled}
}

func (l *logger) Debug(msg string, tags ...tag.Tag)  { l.write(slog.LevelDebug, msg, tags) }
func (l *logger) Info(msg string, tags ...tag.Tag)   { l.write(slog.LevelDebug, msg, tags) }
func (l *logger) Warn(msg string, tags ...tag.Tag)   { l.write(slog.LevelWarn, msg, tags) }
func (l *logger) Error(msg string, tags ...tag.Tag)  { l.write(slog.LevelError, msg, tags) }
func (l *logger) DPanic(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

// Panic ends the caller, as the server's code relies on.
func (l *logger) Panic(msg string, tags ...tag.Tag) { panic(fatal{msg, attributes(tags)}) }

// Fatal ends the caller, as the server's code relies on: while the server is
// put together, Start returns the message as its error.
func (l *logger) Fatal(msg string, tags ...tag.Tag) { panic(fatal{msg, attributes(tags)}) }

func (l *logger) write(level slog.Level, msg string, tags []tag.Tag) {
	if !l.settled.Load() {
		level = slog.LevelDebug
	}
	if ctx := context.Background(); l.out.Enabled(ctx, level) {
		l.out.LogAttrs(ctx, level, msg, attributes(tags)...)
	}
}

func attributes(tags []tag.Tag) []slog.Attr {
	attrs := make([]slog.Attr, len(tags))
	for i, t := range tags {
		attrs[i] = slog.Any(t.Key(), t.Value())
	}
	return attrs
}

// fatal is what the server would have ended the process with.
type fatal struct {
	msg   string
	attrs []slog.Attr
}

func (f fatal) Error() string { return fmt.Sprintf("%s %v", f.msg, f.attrs) }

// recoverFatal turns a fatal of the calling goroutine into *err.
func (*logger) recoverFatal(err *error) {
	switch r := recover().(type) {
	case nil:
	case fatal:
		*err = fail("start the server", r)
	default:
		panic(r)
	}
}
