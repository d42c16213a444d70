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

// logger is the server's logger on slog. It logs the server's info at debug level.
// While the server starts or stops, it logs warnings and errors at debug level
// too: services look for each other then, and Start returns the errors that matter.
type logger struct {
	out     *slog.Logger
	running *atomic.Bool
}

var (
	_ log.Logger     = (*logger)(nil)
	_ log.WithLogger = (*logger)(nil)
)

func newLogger(out *slog.Logger) *logger { return &logger{out: out, running: new(atomic.Bool)} }

// setRunning is called with true after the start and with false before the stop.
func (l *logger) setRunning(running bool) { l.running.Store(running) }

func (l *logger) With(tags ...tag.Tag) log.Logger {
	return &logger{out: slog.New(l.out.Handler().WithAttrs(attributes(tags))), running: l.running}
}

func (l *logger) Debug(msg string, tags ...tag.Tag)  { l.write(slog.LevelDebug, msg, tags) }
func (l *logger) Info(msg string, tags ...tag.Tag)   { l.write(slog.LevelDebug, msg, tags) }
func (l *logger) Warn(msg string, tags ...tag.Tag)   { l.write(slog.LevelWarn, msg, tags) }
func (l *logger) Error(msg string, tags ...tag.Tag)  { l.write(slog.LevelError, msg, tags) }
func (l *logger) DPanic(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

// Panic ends the caller: the server's code relies on it.
func (l *logger) Panic(msg string, tags ...tag.Tag) { panic(fatal{msg, attributes(tags)}) }

// Fatal ends the caller: the server's code relies on it. While the server starts,
// Start returns the message as its error.
func (l *logger) Fatal(msg string, tags ...tag.Tag) { panic(fatal{msg, attributes(tags)}) }

func (l *logger) write(level slog.Level, msg string, tags []tag.Tag) {
	if !l.running.Load() {
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

// fatal is a message with which the server would have ended the process.
type fatal struct {
	msg   string
	attrs []slog.Attr
}

func (f fatal) Error() string { return fmt.Sprintf("%s %v", f.msg, f.attrs) }

// recoverFatal sets *err to a fatal message of the calling goroutine.
func (*logger) recoverFatal(err *error) {
	switch r := recover().(type) {
	case nil:
	case fatal:
		*err = fail("start the server", r)
	default:
		panic(r)
	}
}
