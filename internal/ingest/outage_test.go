package ingest

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOutageIsReportedOnceForAllPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reports []string
		o := &outage{report: func(format string, args ...any) { reports = append(reports, fmt.Sprintf(format, args...)) }}
		o.over()
		require.Empty(t, reports)

		for range 12 {
			for partition := range 64 {
				o.waiting(partition+1, errors.New("connection refused"))
			}
			time.Sleep(time.Second) // virtual time
		}
		require.Len(t, reports, 3, "at 0, 5 and 10 seconds")
		require.Contains(t, reports[0], "at line 1: connection refused")

		for range 64 {
			o.over()
		}
		require.Len(t, reports, 4)
		require.Equal(t, "Temporal answers again, after 12s", reports[3])

		// Short outages do not flood the output either.
		time.Sleep(reportInterval)
		for range 10 {
			o.waiting(7, errors.New("busy"))
			o.over()
		}
		require.Len(t, reports, 6)
	})
}
