package receiver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLatenessIsMeasured(t *testing.T) {
	srv := startServer(t)
	now := time.Now()
	undated := strings.Replace(message("c1"), `"time"`, `"more"`, 1)
	srv.post(t, batchType, batch(event("message", "c1", now.Add(-3*time.Minute)),
		event("message", "c2", now.Add(5*time.Second)), undated)).accepted(t)
	_, text := srv.getMonitoring(t, "/metrics")
	for _, line := range []string{
		`sessionkeeper_event_arrival_lateness_seconds_bucket{le="0.1"} 1`,
		`sessionkeeper_event_arrival_lateness_seconds_bucket{le="60"} 1`,
		`sessionkeeper_event_arrival_lateness_seconds_bucket{le="300"} 2`,
		`sessionkeeper_event_arrival_lateness_seconds_count 2`,
	} {
		require.Contains(t, text, "\n"+line+"\n")
	}
	require.Zero(t, srv.log.count("arrived late"), srv.log)
	require.Zero(t, srv.log.count("in the future"), srv.log)
}

func TestLateEventsAreWarnedOfOnceAMinute(t *testing.T) {
	for text, at := range map[string]time.Duration{"An event arrived late": -3 * time.Hour, "An event is dated in the future": time.Hour} {
		srv := startServer(t)
		late := event("message", "c1", time.Now().Add(at))
		late = strings.Replace(late, `"/r"`, `"/router-7\u202e`+strings.Repeat("x", 900)+`"`, 1)
		srv.post(t, batchType, batch(late, late, late)).accepted(t)
		srv.post(t, structuredType, late).accepted(t)
		require.Equal(t, 1, srv.log.count(text), srv.log)
		require.Contains(t, srv.log.String(), `"source":"/router-7\\u202exxx`)
		require.Contains(t, srv.log.String(), `"orgId":"00D000000000001"`)
		require.NotContains(t, srv.log.String(), strings.Repeat("x", 101))
		require.NotContains(t, srv.log.String(), phone[1:])
		require.Contains(t, srv.log.String(), fmt.Sprint(at.Abs()))
	}
}
