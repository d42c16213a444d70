package ingest

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func TestLinesAreNumberedAndTrimmed(t *testing.T) {
	for name, test := range map[string]struct {
		log  string
		want []string
	}{
		"no line":                 {"", nil},
		"one":                     {"a\n", []string{"a"}},
		"no newline at the end":   {"a\nb", []string{"a", "b"}},
		"CRLF":                    {"a\r\nb\r\n", []string{"a", "b"}},
		"blank lines are counted": {"a\n\n \r\nb\n", []string{"a", "", "", "b"}},
		"NUL bytes are kept":      {"\x00a\x00\n", []string{"\x00a\x00"}},
		"byte order marks":        {"\ufeffa\n\ufeff\n", []string{"a", ""}},
		"longest line":            {strings.Repeat("x", maxLine) + "\r\nb", []string{strings.Repeat("x", maxLine), "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			log := newLines(iotest.HalfReader(strings.NewReader(test.log)))
			var got []string
			for {
				l, err := log.next()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				require.Nil(t, l.rest)
				got = append(got, string(l.content()))
				require.Equal(t, len(got), l.number)
			}
			require.Equal(t, test.want, got)
		})
	}
}

func TestLongLineIsNotKeptInMemory(t *testing.T) {
	long := strings.Repeat("x", 3*maxLine) + "\n"
	log := newLines(strings.NewReader(long + "next"))
	l, err := log.next()
	require.NoError(t, err)
	require.Less(t, len(l.text), 2*maxLine)

	var rest strings.Builder
	require.NoError(t, l.rest(&rest))
	require.Len(t, string(l.text)+rest.String(), len(long))

	l, err = log.next()
	require.NoError(t, err)
	require.Equal(t, "next", string(l.content()))
}

func TestReadErrorNamesLine(t *testing.T) {
	broken := errors.New("disk failure")
	log := newLines(io.MultiReader(strings.NewReader("a\nhalf"), iotest.ErrReader(broken)))
	_, err := log.next()
	require.NoError(t, err)
	_, err = log.next()
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "read line 2")
}

// Every byte of a log belongs to exactly one line, in order.
func FuzzLines(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "a\r\nb\n\n", "\ufeff{}\n\ufeff", "\x00{\x00}\x00\n\x00", "\xff\xfe{\x00", "[\n{},\n", "{\n\"a\":1,\n",
		"{\"a\":1,", "\x1f\x8b", strings.Repeat("x", maxLine+1), strings.Repeat(" ", 2*maxLine) + "\n{}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, log []byte) {
		var read bytes.Buffer
		lines := newLines(iotest.HalfReader(bytes.NewReader(log)))
		for number := 1; ; number++ {
			l, err := lines.next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			require.Equal(t, number, l.number)
			require.LessOrEqual(t, len(l.text), 2*maxLine)
			if text := l.content(); len(text) > 0 {
				if err := checkFormat(text); err != nil {
					require.Less(t, len(err.Error()), 200)
				}
			}
			read.Write(l.text)
			require.Equal(t, 1, bytes.Count(append(l.text, '\n'), []byte("\n"))-bytes.Count(l.text[max(0, len(l.text)-1):], []byte("\n")))
			if l.rest != nil {
				require.NoError(t, l.rest(&read))
			}
		}
		require.Equal(t, string(log), read.String())
	})
}
