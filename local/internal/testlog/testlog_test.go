package testlog_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sessionkeeper/local/internal/testlog"
)

// recorder is a test that records what it is asked to print.
type recorder struct {
	testing.TB
	failed   bool
	cleanups []func()
	printed  string
}

func (r *recorder) Helper()                         {}
func (r *recorder) Failed() bool                    { return r.failed }
func (r *recorder) Cleanup(f func())                { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Logf(format string, args ...any) { r.printed += fmt.Sprintf(format, args...) }
func (r *recorder) end() {
	for _, f := range r.cleanups {
		f()
	}
}

func TestOnlyAFailedTestShowsTheLastLines(t *testing.T) {
	var tail testlog.Tail
	logger := tail.Logger()
	logger.Info("not kept")
	for i := range 100 {
		logger.Warn("line", "number", i)
	}
	passed, failed := &recorder{}, &recorder{failed: true}
	for _, r := range []*recorder{passed, failed} {
		tail.ShowOnFailure(r)
		r.end()
	}
	require.Empty(t, passed.printed)
	require.Equal(t, 20, strings.Count(failed.printed, "number="))
	require.Contains(t, failed.printed, "number=99")
	require.NotContains(t, failed.printed, "not kept")
}
