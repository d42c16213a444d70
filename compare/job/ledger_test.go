package job

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const idle = 10 * time.Second

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at is some seconds after noon.
func at(seconds float64) time.Time {
	return noon.Add(time.Duration(seconds * float64(time.Second)))
}

// talk is a ledger with messages that were acknowledged after 10 ms.
func talk(messages ...float64) *ledger {
	l := &ledger{}
	for _, second := range messages {
		l.message(at(second), at(second).Add(10*time.Millisecond))
	}
	return l
}

func (l *ledger) calledAt(seconds ...float64) *ledger {
	for _, second := range seconds {
		l.call(at(second))
	}
	return l
}

func TestAccount(t *testing.T) {
	for name, tt := range map[string]struct {
		ledger *ledger
		want   Lateness
	}{
		"on time":                         {talk(0, 4).calledAt(14.5), late(500*time.Millisecond, Lateness{Calls: 1, Expected: 1})},
		"rounded down by a millisecond":   {talk(0, 4).calledAt(13.9995), late(-500*time.Microsecond, Lateness{Calls: 1, Expected: 1})},
		"early":                           {talk(0, 4).calledAt(13.5), late(-500*time.Millisecond, Lateness{Calls: 1, Expected: 1, Early: 1})},
		"as if the last message was lost": {talk(0, 4).calledAt(10), late(-4*time.Second, Lateness{Calls: 1, Expected: 1, Early: 1})},
		"lost":                            {talk(0, 4), Lateness{Expected: 1, Lost: 1}},
		"doubled": {talk(0).calledAt(10, 12), Lateness{
			Calls: 2, Expected: 1, Doubled: 1, P50: 0, P99: 2 * time.Second, Max: 2 * time.Second,
		}},
		"early, and then on time": {talk(0).calledAt(9, 11), Lateness{
			Calls: 2, Expected: 1, Early: 1, Doubled: 1, Min: -time.Second, P50: -time.Second, P99: time.Second, Max: time.Second,
		}},
		"quiet twice": {talk(0, 20).calledAt(11, 31), late(time.Second, Lateness{Calls: 2, Expected: 1})},
		// The engine noticed the message in between; nothing was due any more.
		"quiet, then a late message, no call": {talk(0, 20).calledAt(30), late(0, Lateness{Calls: 1, Expected: 1})},
		"call in the middle, none at the end": {talk(0, 20).calledAt(11), late(time.Second, Lateness{Calls: 1, Expected: 1, Lost: 1})},
		"under way when a message came":       {talk(0, 10.05).calledAt(10.1, 20.05), latest(100*time.Millisecond, Lateness{Calls: 2, Expected: 1})},
		"long acknowledged when the call came": {talk(0, 10.05).calledAt(10.5, 20.05), Lateness{
			Calls: 2, Expected: 1, Early: 1, Doubled: 1, Min: -9550 * time.Millisecond, P50: -9550 * time.Millisecond,
		}},
		"a call and no message": {(&ledger{}).calledAt(1), Lateness{}},
		"nothing":               {&ledger{}, Lateness{}},
	} {
		t.Run(name, func(t *testing.T) {
			var sum account
			sum.add(tt.ledger, idle)
			require.Equal(t, tt.want, sum.lateness())
			require.Equal(t, tt.want.Lost == 0, tt.ledger.settled(idle))
		})
	}
}

// late fills in the figures of calls that are all equally late.
func late(by time.Duration, l Lateness) Lateness {
	l.Min, l.P50, l.P99, l.Max = by, by, by, by
	return l
}

// latest fills in those of two calls, one of which is on time.
func latest(by time.Duration, l Lateness) Lateness {
	l.P99, l.Max = by, by
	return l
}

func TestAccountAddsConversationsUp(t *testing.T) {
	var sum account
	for i := range 1000 {
		l := talk(0)
		if i > 0 {
			l.calledAt(10 + float64(i)/1000)
		}
		sum.add(l, idle)
	}
	require.Equal(t, Lateness{
		Calls: 999, Expected: 1000, Lost: 1,
		Min: time.Millisecond, P50: 500 * time.Millisecond, P99: 990 * time.Millisecond, Max: 999 * time.Millisecond,
	}, sum.lateness())
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	five := []time.Duration{15, 20, 35, 40, 50}
	for percent, want := range map[int]time.Duration{0: 15, 5: 15, 20: 15, 21: 20, 30: 20, 40: 20, 50: 35, 99: 50, 100: 50} {
		require.Equal(t, want, percentile(five, percent), "%d", percent)
	}
	require.Equal(t, time.Duration(7), percentile([]time.Duration{7}, 50))
}
