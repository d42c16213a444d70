package ingest

import (
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
