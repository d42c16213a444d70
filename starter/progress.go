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

// progressView shows a run: a live line on a terminal, plain lines otherwise.
type progressView struct {
	mu       sync.Mutex
	out      io.Writer
	live     bool
	every    time.Duration
	width    func() int
	progress *ingest.Progress
	// shown is how many lines had come to something when they were last shown.
	shown int64
}

func newProgressView(out *os.File, progress *ingest.Progress) *progressView {
	v := &progressView{out: out, live: term.IsTerminal(int(out.Fd())), every: 10 * time.Second, progress: progress}
	if v.live {
		v.every = 200 * time.Millisecond
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

// start shows the progress from time to time, until stop shows it a last time.
func (v *progressView) start() (stop func()) {
	ticker := time.NewTicker(v.every)
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-ticker.C:
				v.show(false)
			case <-done:
				return
			}
		}
	})
	return func() {
		ticker.Stop()
		close(done)
		watching.Wait()
		v.show(true)
	}
}

const clearLine = "\r\x1b[K"

// show writes the progress. Plain lines are written only when there is news,
// because a log that is followed may be silent for days.
func (v *progressView) show(last bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.progress.Events() + v.progress.Rejected()
	switch {
	case v.live && last:
		fmt.Fprintf(v.out, "%s%s\n", clearLine, v.progress)
	case v.live:
		fmt.Fprintf(v.out, "%s%s", clearLine, v.cut(v.progress.String()))
	case last || now != v.shown:
		fmt.Fprintln(v.out, v.progress)
	}
	v.shown = now
}

// cut keeps a live line from going over into the next one, where it could not
// be cleared.
func (v *progressView) cut(line string) string {
	if width := v.width(); width > 0 && len(line) >= width {
		return line[:width-1]
	}
	return line
}

func (v *progressView) say(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.live {
		fmt.Fprint(v.out, clearLine)
	}
	fmt.Fprintf(v.out, format+"\n", args...)
}
