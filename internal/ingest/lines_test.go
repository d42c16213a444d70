package ingest

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func TestLines(t *testing.T) {
	for name, test := range map[string]struct {
		log  string
		want []string
	}{
		"nothing":                 {"", nil},
		"one":                     {"a\n", []string{"a"}},
		"no newline at the end":   {"a\nb", []string{"a", "b"}},
		"CRLF":                    {"a\r\nb\r\n", []string{"a", "b"}},
		"blank lines are counted": {"a\n\n \r\nb\n", []string{"a", "", "", "b"}},
		"NUL bytes stay":          {"\x00a\x00\n", []string{"\x00a\x00"}},
		"byte order marks":        {"\ufeffa\n\ufeff\n", []string{"a", ""}},
		"as long as may be":       {strings.Repeat("x", maxLine) + "\r\nb", []string{strings.Repeat("x", maxLine), "b"}},
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

func TestALineThatIsTooLongIsNotHeldInMemory(t *testing.T) {
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

func TestAReadErrorNamesTheLine(t *testing.T) {
	broken := errors.New("disk on fire")
	log := newLines(io.MultiReader(strings.NewReader("a\nhalf"), iotest.ErrReader(broken)))
	_, err := log.next()
	require.NoError(t, err)
	_, err = log.next()
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "read line 2")
}

func TestLedger(t *testing.T) {
	l := newLedger(5)
	require.Equal(t, 5, l.next(), "nothing read yet")
	for number := 5; number < 9; number++ {
		l.open(number)
	}
	require.Equal(t, 5, l.next())
	l.done(5)
	l.done(7)
	require.Equal(t, 6, l.next(), "a later line does not count before an earlier one")
	l.done(6)
	l.done(8)
	require.Equal(t, 9, l.next())
}
