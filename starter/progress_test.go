package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/ingest"
)

func TestLiveLineFitsTerminal(t *testing.T) {
	var out bytes.Buffer
	view := &progressView{out: &out, live: true, progress: ingest.NewProgress(), width: func() int { return 12 }}
	view.print(false)
	require.Equal(t, clearLine+"0 events (0", out.String())
	view.report("line %d rejected", 2)
	view.print(true)
	require.True(t, strings.HasSuffix(out.String(), "rejected\n"))
}

func TestPlainLinesNeedProgress(t *testing.T) {
	var out bytes.Buffer
	view := &progressView{out: &out, progress: ingest.NewProgress()}
	view.print(false)
	view.print(false)
	require.Empty(t, out.String())
	view.print(true)
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
}
