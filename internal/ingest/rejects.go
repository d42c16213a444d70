package ingest

import (
	"fmt"
	"io"
	"sync"
)

// rejects writes rejected lines exactly as they were read. It is safe for
// concurrent use.
type rejects struct {
	mu  sync.Mutex
	out io.Writer
}

func (r *rejects) write(l line) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &lastByteWriter{out: r.out}
	_, err := out.Write(l.text)
	if err == nil && l.rest != nil {
		err = l.rest(out)
	}
	if err == nil && out.last != '\n' {
		// The last line of the log may have no newline. Another rejected line may
		// follow it here.
		_, err = out.Write([]byte("\n"))
	}
	if err != nil {
		return fmt.Errorf("write rejected line %d: %w", l.number, err)
	}
	return nil
}

// lastByteWriter keeps the last byte written.
type lastByteWriter struct {
	out  io.Writer
	last byte
}

func (w *lastByteWriter) Write(p []byte) (int, error) {
	if len(p) > 0 {
		w.last = p[len(p)-1]
	}
	return w.out.Write(p)
}
