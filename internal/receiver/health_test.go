package receiver_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// If no instance were ready, clients would get no response at all.
func TestServerStaysReadyWhileTemporalIsUnreachable(t *testing.T) {
	srv := startServer(t, shortAccept)
	requireReady := func(status int, text string) {
		t.Helper()
		code, body := srv.getMonitoring(t, "/readyz")
		require.Equal(t, status, code)
		require.Contains(t, body, text)
		code, body = srv.getMonitoring(t, "/healthz")
		require.Equal(t, http.StatusOK, code, "an outage of Temporal is no reason to restart")
		require.Equal(t, "ok\n", body)
	}
	srv.temporal.Stop()
	requireReady(http.StatusServiceUnavailable, "not ready: check Temporal: ")
	srv.temporal.Resume(t)
	require.Eventually(t, func() bool {
		code, _ := srv.getMonitoring(t, "/readyz")
		return code == http.StatusOK
	}, 30*time.Second, 10*time.Millisecond)
	srv.temporal.Stop()
	requireReady(http.StatusOK, "ready\n")
	require.Equal(t, http.StatusServiceUnavailable, srv.post(t, structuredType, message("c1")).status)
}

// Until the first probe, the requests of clients may be all that reaches Temporal.
func TestServerIsReadyOnceARequestHasReachedTemporal(t *testing.T) {
	srv := startServer(t, shortAccept)
	srv.post(t, structuredType, message("c1")).accepted(t)
	srv.temporal.Stop()
	code, body := srv.getMonitoring(t, "/readyz")
	require.Equal(t, http.StatusOK, code, body)
}
