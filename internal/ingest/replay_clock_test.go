package ingest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/cloudevent"
)

func TestReplayClockKeepsDistances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		logged := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		clock := &replayClock{speed: 10}
		replay := func(at time.Time) time.Time {
			moved, err := clock.wait(t.Context(), cloudevent.Event{At: at})
			require.NoError(t, err)
			return moved.At
		}
		require.Equal(t, start, replay(logged), "the first event is due now")
		require.Zero(t, time.Since(start))

		require.Equal(t, start.Add(time.Minute), replay(logged.Add(10*time.Minute)))
		require.Equal(t, time.Minute, time.Since(start))

		require.Equal(t, start.Add(30*time.Second), replay(logged.Add(5*time.Minute)),
			"an event that is out of order keeps its delay")
		require.True(t, replay(time.Time{}).IsZero(), "an event without a time gets none")
		require.Equal(t, time.Minute, time.Since(start), "the clock waits for neither of them")
	})
}

func TestReplayClockStopsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		logged := time.Now()
		clock := &replayClock{speed: 1}
		_, err := clock.wait(ctx, cloudevent.Event{At: logged})
		require.NoError(t, err)
		_, err = clock.wait(ctx, cloudevent.Event{At: logged.Add(time.Hour)})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}
