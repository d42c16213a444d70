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

// line is one line as it was read, including its newline. The last line of a log
// may have none.
type line struct {
	number int
	text   []byte
	// rest copies the remainder of a line that is too long. It is nil for a line
	// that was read completely.
	rest func(to io.Writer) error
}

// content is the text without white space around it and without the byte order
// mark that some programs write at the beginning of a file.
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

// next reads a line. Of a line that is too long it reads only the beginning: the caller
// must copy the rest before the next call. After the last line the error is io.EOF.
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
			return err
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

// cancelableReader returns a reader whose reads end when ctx does. A read of log
// that blocks, such as that of an idle pipe, is abandoned: its goroutine stays.
func cancelableReader(ctx context.Context, log io.Reader) io.Reader {
	pipe, feed := io.Pipe()
	context.AfterFunc(ctx, func() { feed.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(feed, log)
		feed.CloseWithError(err)
	}()
	return pipe
}
