package job

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const idle = 10 * time.Second

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// afterNoon is a time some seconds after noon.
func afterNoon(seconds float64) time.Time {
	return noon.Add(time.Duration(seconds * float64(time.Second)))
}

// withMessages is a timeline with messages that were acknowledged after 10 ms.
func withMessages(seconds ...float64) *timeline {
	t := &timeline{}
	for _, second := range seconds {
		t.addMessage(afterNoon(second), afterNoon(second).Add(10*time.Millisecond))
	}
	return t
}

func (t *timeline) calledAt(seconds ...float64) *timeline {
	for _, second := range seconds {
		t.addCall(afterNoon(second))
	}
	return t
}

func TestCallCounts(t *testing.T) {
	for name, tt := range map[string]struct {
		timeline *timeline
		want     Lateness
	}{
		"on time": {
			withMessages(0, 4).calledAt(14.5),
			allLateBy(500*time.Millisecond, Lateness{Calls: 1, Expected: 1}),
		},
		"rounded down by less than a millisecond": {
			withMessages(0, 4).calledAt(13.9995),
			allLateBy(-500*time.Microsecond, Lateness{Calls: 1, Expected: 1}),
		},
		"early": {
			withMessages(0, 4).calledAt(13.5),
			allLateBy(-500*time.Millisecond, Lateness{Calls: 1, Expected: 1, Early: 1}),
		},
		"early because the last message was lost": {
			withMessages(0, 4).calledAt(10),
			allLateBy(-4*time.Second, Lateness{Calls: 1, Expected: 1, Early: 1}),
		},
		"lost": {withMessages(0, 4), Lateness{Expected: 1, Lost: 1}},
		"doubled": {withMessages(0).calledAt(10, 12), Lateness{
			Calls: 2, Expected: 1, Doubled: 1, P50: 0, P99: 2 * time.Second, Max: 2 * time.Second,
		}},
		"early, and then on time": {withMessages(0).calledAt(9, 11), Lateness{
			Calls: 2, Expected: 1, Early: 1, Doubled: 1,
			Min: -time.Second, P50: -time.Second, P99: time.Second, Max: time.Second,
		}},
		"idle twice": {
			withMessages(0, 20).calledAt(11, 31),
			allLateBy(time.Second, Lateness{Calls: 2, Expected: 1}),
		},
		"late message that the engine saw before it called": {
			withMessages(0, 20).calledAt(30),
			allLateBy(0, Lateness{Calls: 1, Expected: 1}),
		},
		"call between messages, none at the end": {
			withMessages(0, 20).calledAt(11),
			allLateBy(time.Second, Lateness{Calls: 1, Expected: 1, Lost: 1}),
		},
		"in transit when a message came": {
			withMessages(0, 10.05).calledAt(10.1, 20.05),
			oneOfTwoLateBy(100*time.Millisecond, Lateness{Calls: 2, Expected: 1}),
		},
		"message acknowledged long before the call": {withMessages(0, 10.05).calledAt(10.5, 20.05), Lateness{
			Calls: 2, Expected: 1, Early: 1, Doubled: 1, Min: -9550 * time.Millisecond, P50: -9550 * time.Millisecond,
		}},
		"a call and no message": {(&timeline{}).calledAt(1), Lateness{}},
		"nothing":               {&timeline{}, Lateness{}},
	} {
		t.Run(name, func(t *testing.T) {
			var calls callCounts
			calls.add(tt.timeline, idle)
			require.Equal(t, tt.want, calls.lateness())
			require.Equal(t, tt.want.Lost == 0, tt.timeline.hasLastCall(idle))
		})
	}
}

// allLateBy adds the figures of calls that are all equally late.
func allLateBy(by time.Duration, l Lateness) Lateness {
	l.Min, l.P50, l.P99, l.Max = by, by, by, by
	return l
}

// oneOfTwoLateBy adds the figures of two calls, of which one is on time.
func oneOfTwoLateBy(by time.Duration, l Lateness) Lateness {
	l.P99, l.Max = by, by
	return l
}

func TestCallCountsOfManyConversations(t *testing.T) {
	var calls callCounts
	for i := range 1000 {
		l := withMessages(0)
		if i > 0 {
			l.calledAt(10 + float64(i)/1000)
		}
		calls.add(l, idle)
	}
	require.Equal(t, Lateness{
		Calls: 999, Expected: 1000, Lost: 1,
		Min: time.Millisecond, P50: 500 * time.Millisecond, P99: 990 * time.Millisecond, Max: 999 * time.Millisecond,
	}, calls.lateness())
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	five := []time.Duration{15, 20, 35, 40, 50}
	for percent, want := range map[int]time.Duration{
		0: 15, 5: 15, 20: 15, 21: 20, 30: 20, 40: 20, 50: 35, 99: 50, 100: 50,
	} {
		require.Equal(t, want, percentile(five, percent), "%d", percent)
	}
	require.Equal(t, time.Duration(7), percentile([]time.Duration{7}, 50))
}
