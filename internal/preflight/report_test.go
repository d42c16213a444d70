package preflight_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/preflight"
)

func TestReport(t *testing.T) {
	report := preflight.Report{
		{Group: "A", Check: "one", Status: preflight.OK},
		{Group: "A", Check: "two", Status: preflight.Failed, Detail: "broken\n  √ three", Remedy: "mend it"},
		{Group: "B", Check: "four", Status: preflight.Warning},
	}
	var text strings.Builder
	require.NoError(t, report.Text(&text))
	require.Equal(t, "A\n  √ one\n  × two\n      broken √ three\n      → mend it\n\nB\n  ‼ four\n\n1 failed, 1 warnings, 3 checks\n", text.String())
	require.Equal(t, 1, report.ExitStatus())
	require.Equal(t, 2, report[2:].ExitStatus())
	require.Zero(t, report[:1].ExitStatus())
}
