package ingest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOffsetsReturnFirstLineNotDone(t *testing.T) {
	o := newOffsets(5)
	require.Equal(t, 5, o.next(), "nothing read yet")
	for number := 5; number < 9; number++ {
		o.begin(number)
	}
	require.Equal(t, 5, o.next())
	o.done(5)
	o.done(7)
	require.Equal(t, 6, o.next(), "line 7 is done, line 6 is not")
	o.done(6)
	o.done(8)
	require.Equal(t, 9, o.next())
}
