package ingest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/sender"
)

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		logged := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		p := &pace{speed: 10}
		play := func(at time.Time) time.Time {
			moved, err := p.wait(t.Context(), cloudevent.Event{At: at})
			require.NoError(t, err)
			return moved.At
		}
		require.Equal(t, start, play(logged), "the first happens now")
		require.Zero(t, time.Since(start))

		require.Equal(t, start.Add(time.Minute), play(logged.Add(10*time.Minute)))
		require.Equal(t, time.Minute, time.Since(start))

		require.Equal(t, start.Add(30*time.Second), play(logged.Add(5*time.Minute)), "late, as it was")
		require.True(t, play(time.Time{}).IsZero(), "without a time it is of now")
		require.Equal(t, time.Minute, time.Since(start), "neither is waited for")
	})
}

func TestPaceStopsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		logged := time.Now()
		p := &pace{speed: 1}
		_, err := p.wait(ctx, cloudevent.Event{At: logged})
		require.NoError(t, err)
		_, err = p.wait(ctx, cloudevent.Event{At: logged.Add(time.Hour)})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestAnOutageIsReportedOnceForAllLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said []string
		o := &outage{report: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }}
		o.over()
		require.Empty(t, said)

		for range 12 {
			for lane := range 64 {
				o.waiting(lane+1, errors.New("connection refused"))
			}
			time.Sleep(time.Second) // of the bubble's clock
		}
		require.Len(t, said, 3, "at 0, 5 and 10 seconds")
		require.Contains(t, said[0], "at line 1: connection refused")

		for range 64 {
			o.over()
		}
		require.Len(t, said, 4)
		require.Equal(t, "Temporal answers again, after 12s", said[3])

		// One that comes and goes does not flood either.
		time.Sleep(sayAgain)
		for range 10 {
			o.waiting(7, errors.New("busy"))
			o.over()
		}
		require.Len(t, said, 6)
	})
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewProgress()
		require.Equal(t, "0 events (0/s), 0 conversations, 0 rejected", p.String())
		time.Sleep(2 * time.Second) // of the bubble's clock
		for _, receipt := range []sender.Receipt{sender.Sent, sender.Sent, sender.AlreadyOver, sender.NotTracked} {
			p.count(receipt)
		}
		p.conversation(1)
		p.conversation(2)
		p.conversation(1)
		p.rejected.Add(3)
		p.waits.Add(5)
		require.Equal(t, "4 events (2/s), 2 conversations, 3 rejected, 1 already over, 1 not tracked, 5 waits for Temporal", p.String())
		require.Equal(t, int64(4), p.Events())
		require.Equal(t, int64(3), p.Rejected())
	})
}
