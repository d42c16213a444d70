package ingest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds one event, in bytes. CloudEvents asks consumers to take at
// least 64 KiB.
const maxLine = 1 << 20

// line is a line as it was read, with its end, which the last one may lack.
type line struct {
	number int
	text   []byte
	// rest copies what is left of a line that is too long; nil for a whole one.
	rest func(to io.Writer) error
}

// content is what the line says, without its end and without the mark that some
// programs put in front of a file.
func (l line) content() []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(l.text, byteOrderMark))
}

var byteOrderMark = []byte("\ufeff")

// lines reads a log line by line.
type lines struct {
	reader *bufio.Reader
	number int
}

func newLines(log io.Reader) *lines { return &lines{reader: bufio.NewReaderSize(log, 64<<10)} }

// next reads a line. Of one that is too long it reads the beginning, and the
// rest has to be copied before the next one. The error is io.EOF after the last.
func (l *lines) next() (line, error) {
	l.number++
	read := line{number: l.number}
	for {
		part, err := l.reader.ReadSlice('\n')
		read.text = append(read.text, part...)
		switch {
		case err == nil, errors.Is(err, io.EOF) && len(read.text) > 0:
			return read, nil
		case errors.Is(err, io.EOF):
			return line{}, io.EOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return line{}, fmt.Errorf("read line %d: %w", l.number, err)
		case len(read.text) > maxLine:
			read.rest = l.rest
			return read, nil
		}
	}
}

func (l *lines) rest(to io.Writer) error {
	for {
		part, err := l.reader.ReadSlice('\n')
		if _, err := to.Write(part); err != nil {
			return err //nolint:wrapcheck // the caller names the line
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return ignoreEOF(err)
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// unblocked ends a read that waits for input, such as that of a silent pipe,
// when the context does. The read itself is left behind.
func unblocked(ctx context.Context, log io.Reader) io.Reader {
	pipe, feed := io.Pipe()
	context.AfterFunc(ctx, func() { feed.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(feed, log)
		feed.CloseWithError(err)
	}()
	return pipe
}
