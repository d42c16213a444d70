package ingest

import (
	"fmt"
	"io"
	"sync"
)

// rejects keeps the lines that were rejected, as they were read. It is safe for
// concurrent use.
type rejects struct {
	mu  sync.Mutex
	out io.Writer
}

func (r *rejects) keep(l line) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &lastByte{out: r.out}
	_, err := out.Write(l.text)
	if err == nil && l.rest != nil {
		err = l.rest(out)
	}
	if err == nil && out.last != '\n' {
		// The log's last line has no end, but another may follow it here.
		_, err = out.Write([]byte("\n"))
	}
	if err != nil {
		return fmt.Errorf("keep rejected line %d: %w", l.number, err)
	}
	return nil
}

// lastByte remembers the last byte written.
type lastByte struct {
	out  io.Writer
	last byte
}

func (w *lastByte) Write(p []byte) (int, error) {
	if len(p) > 0 {
		w.last = p[len(p)-1]
	}
	return w.out.Write(p) //nolint:wrapcheck // keep wraps it
}
