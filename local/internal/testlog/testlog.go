// Package testlog keeps the last lines that a server under test logs, and shows
// them only when a test fails.
package testlog

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// limit is how many lines are kept.
const limit = 20

// Tail keeps the last lines that its logger writes. The zero value is ready.
type Tail struct {
	mu    sync.Mutex
	lines []string
}

// Logger returns a logger of warnings and errors that writes to the tail.
func (t *Tail) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(t, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// Write keeps a line.
func (t *Tail) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, string(line))
	t.lines = t.lines[max(0, len(t.lines)-limit):]
	return len(line), nil
}

// ShowOnFailure prints the lines at the end of a test that has failed.
func (t *Tail) ShowOnFailure(tb testing.TB) {
	tb.Helper()
	tb.Cleanup(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if tb.Failed() && len(t.lines) > 0 {
			tb.Logf("the server's last %d warnings and errors:\n%s", len(t.lines), strings.Join(t.lines, ""))
		}
	})
}
