package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"sessionkeeper/internal/ingest"
)

// progressView prints the progress of a run: a live line on a terminal, else plain
// lines.
type progressView struct {
	mu       sync.Mutex
	out      io.Writer
	live     bool
	interval time.Duration
	width    func() int
	progress *ingest.Progress
	// printed is how many lines were done when the progress was printed last.
	printed int64
}

func newProgressView(out *os.File, progress *ingest.Progress) *progressView {
	v := &progressView{out: out, live: term.IsTerminal(int(out.Fd())), interval: 10 * time.Second, progress: progress}
	if v.live {
		v.interval = 200 * time.Millisecond
	}
	v.width = func() int {
		width, _, err := term.GetSize(int(out.Fd()))
		if err != nil {
			return 0
		}
		return width
	}
	return v
}

// start prints the progress repeatedly, until stop prints it a last time.
func (v *progressView) start() (stop func()) {
	ticker := time.NewTicker(v.interval)
	done := make(chan struct{})
	var printer sync.WaitGroup
	printer.Go(func() {
		for {
			select {
			case <-ticker.C:
				v.print(false)
			case <-done:
				return
			}
		}
	})
	return func() {
		ticker.Stop()
		close(done)
		printer.Wait()
		v.print(true)
	}
}

const clearLine = "\r\x1b[K"

// print prints the progress. A plain line is printed only if lines were done since
// the last one: a log that is followed may get no line for days.
func (v *progressView) print(last bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	done := v.progress.Events() + v.progress.Rejected()
	switch {
	case v.live && last:
		fmt.Fprintf(v.out, "%s%s\n", clearLine, v.progress)
	case v.live:
		fmt.Fprintf(v.out, "%s%s", clearLine, v.cut(v.progress.String()))
	case last || done != v.printed:
		fmt.Fprintln(v.out, v.progress)
	}
	v.printed = done
}

// cut shortens a live line to the width of the terminal: a wrapped line could not be
// cleared.
func (v *progressView) cut(line string) string {
	if width := v.width(); width > 0 && len(line) >= width {
		return line[:width-1]
	}
	return line
}

// report prints a line above the progress.
func (v *progressView) report(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.live {
		fmt.Fprint(v.out, clearLine)
	}
	fmt.Fprintf(v.out, format+"\n", args...)
}
