package receiver

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOutageIsLoggedOnceWhileSomeEventsAreAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		log := outageLog{logger: slog.New(slog.NewTextHandler(&text, nil))}
		count := func(part string) int { return strings.Count(text.String(), part) }
		cause := errors.New("no")
		for range 20 {
			log.record(overloaded, cause, true)
			log.record(none, nil, true)
			time.Sleep(outageEnd / 2)
		}
		require.Equal(t, 1, count("not accepted"), &text)
		require.Zero(t, count("accepted again"), &text)
		log.record(unavailable, cause, false)
		log.record(overloaded, cause, false)
		require.Equal(t, 2, count("not accepted"), "one more line when it becomes worse")

		time.Sleep(outageEnd)
		log.record(none, nil, false)
		require.Zero(t, count("accepted again"), "a request that did not reach Temporal shows nothing")
		log.record(none, nil, true)
		log.record(none, nil, true)
		require.Equal(t, 1, count("accepted again"), &text)
		require.Contains(t, text.String(), "outage=1m40s")
		log.record(overloaded, cause, true)
		require.Equal(t, 3, count("not accepted"), "the next outage")
	})
}

func TestLogLimitCountsSkippedLines(t *testing.T) {
	var limit logLimit
	now := time.Now()
	_, ok := limit.allow(now)
	require.True(t, ok)
	for range 5 {
		_, ok = limit.allow(now.Add(59 * time.Second))
		require.False(t, ok)
	}
	skipped, ok := limit.allow(now.Add(time.Minute))
	require.True(t, ok)
	require.Equal(t, 5, skipped)
	skipped, ok = limit.allow(now.Add(2 * time.Minute))
	require.True(t, ok)
	require.Zero(t, skipped)
}
