package receiver_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/receiver"
)

func TestUnknownMethodsAndPaths(t *testing.T) {
	srv := startServer(t)
	got := srv.get(t, "/v1/events")
	require.Equal(t, http.StatusMethodNotAllowed, got.status)
	require.Equal(t, "POST, OPTIONS", got.header.Get("Allow"))
	got.problem(t)
	got = srv.do(t, http.MethodDelete, "/v1/conversations/a/b", http.NoBody)
	require.Equal(t, http.StatusMethodNotAllowed, got.status)
	require.Equal(t, "GET, HEAD", got.header.Get("Allow"))
	for _, path := range []string{
		"/", "/v1", "/v2/events", "/v1/conversations/a", "/v1/conversations/a/b/c", "/metrics",
		"/v1//events", "/v1/../" + marker, "/" + marker + "/",
	} {
		got = srv.get(t, path)
		require.Equal(t, http.StatusNotFound, got.status, path)
		require.NotContains(t, got.body, marker)
		got.problem(t)
	}
}

func TestWriteAndReadSlotsAreSeparate(t *testing.T) {
	srv := startServer(t, func(o *receiver.Options) { o.Quota.Requests = 1 })
	release, arrived := make(chan struct{}), make(chan struct{}, 100)
	srv.temporal.Fail(func(method string) error {
		if method != "GetSystemInfo" {
			arrived <- struct{}{}
			<-release
		}
		return nil
	})
	first := srv.postInBackground(t, "c1")
	<-arrived
	got := srv.post(t, structuredType, message("c2"))
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Equal(t, "1", got.header.Get("Retry-After"))
	got.problem(t)

	read := srv.doInBackground(t, http.MethodGet, "/v1/conversations/00D000000000001/c9", "")
	require.Eventually(t, func() bool { return srv.inFlight(t) == 2 }, 10*time.Second, time.Millisecond)
	require.Equal(t, http.StatusTooManyRequests, srv.get(t, "/v1/conversations/00D000000000001/c1").status)
	close(release)
	require.Equal(t, http.StatusNotFound, <-read, "reads have slots of their own")
	require.Equal(t, http.StatusAccepted, <-first)
	require.Equal(t, http.StatusAccepted, srv.post(t, structuredType, message("c1")).status)
}
