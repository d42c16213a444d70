package receiver_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"sessionkeeper/internal/receiver"
	"sessionkeeper/sender"
)

func TestErrorsInResponseAreBounded(t *testing.T) {
	events := strings.Fields(strings.Repeat("{} ", receiver.DefaultEvents))
	p := startServer(t).post(t, batchType, batch(events...)).problem(t)
	require.Equal(t, "1000 of 1000 events are invalid; no event of the request was processed", p.Detail)
	require.Len(t, p.Errors, 100)
}

func TestOnlyCoveredMessagesAreAcceptedWhileTemporalIsUnreachable(t *testing.T) {
	srv := startServer(t, shortAccept)
	srv.post(t, structuredType, message("c1")).accepted(t)
	srv.temporal.Stop()

	absorbed := accepted{1, map[sender.Receipt]int{sender.Absorbed: 1}}
	require.Equal(t, absorbed, srv.post(t, structuredType, message("c1")).accepted(t))
	began := time.Now()
	got := srv.post(t, batchType, batch(message("c1"), message("c2"), event("closed", "c2", time.Now()), message("c1")))
	require.Less(t, time.Since(began), receiver.DefaultAccept, "it waits no longer than Limits.Accept")
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	p := got.problem(t)
	require.Equal(t, map[sender.Receipt]int{sender.Absorbed: 2}, p.Receipts)
	require.Contains(t, p.Detail, "2 of 4 events were not accepted")
	require.Contains(t, p.Detail, "Send the same request again")
	require.Len(t, p.Errors, 2)
	require.Equal(t, 1, *p.Errors[0].Index)
	require.Equal(t, 2, *p.Errors[1].Index)
	require.Contains(t, p.Errors[1].Problem, "an earlier event of its conversation")
	srv.post(t, structuredType, message("c3")).problem(t)
	require.Equal(t, 1, srv.log.count("Events are not accepted"), "one line per outage: %s", srv.log)

	srv.temporal.Resume(t)
	require.Eventually(t, func() bool {
		return srv.post(t, structuredType, event("closed", "c2", time.Now())).status == http.StatusAccepted
	},
		30*time.Second, 10*time.Millisecond)
	require.Equal(t, 1, srv.log.count("Events are not accepted"), srv.log)
	require.NotContains(t, srv.log.String(), phone[1:])
	require.NotContains(t, srv.log.String(), token)
}

func TestOverloadedSenderAsksToRetry(t *testing.T) {
	srv := startServer(t, shortAccept, func(o *receiver.Options) { o.Quota.Conversations = 1 })
	got := srv.post(t, batchType, batch(message("c1"), message("c1")))
	got.accepted(t)
	got = srv.post(t, batchType, batch(message("c1"), message("c2")))
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	p := got.problem(t)
	require.Equal(t, map[sender.Receipt]int{sender.Absorbed: 1}, p.Receipts)
	require.Contains(t, p.Errors[0].Problem, "too many conversations at once")

	// The response is that of the greater failure: Temporal is unavailable.
	srv.temporal.Fail(func(string) error { return serviceerror.NewUnavailable("unavailable") })
	got = srv.post(t, batchType, batch(event("closed", "c3", time.Now()), message("c2")))
	require.Equal(t, http.StatusServiceUnavailable, got.status)
}

func TestRejectionByTemporalIsLoggedForOperator(t *testing.T) {
	srv := startServer(t)
	srv.temporal.Fail(func(method string) error {
		if method == "GetSystemInfo" {
			return nil
		}
		return serviceerror.NewInvalidArgument("no mapping defined for search attribute SessionPhase")
	})
	got := srv.post(t, batchType, batch(message("c1"), message("c2")))
	require.Equal(t, http.StatusBadGateway, got.status)
	require.Equal(t, "Temporal rejected it", got.problem(t).Errors[0].Problem)
	require.NotContains(t, got.body, "search attribute")
	for range 10 {
		srv.post(t, structuredType, message("c3"))
	}
	require.Equal(t, 1, srv.log.count("Temporal rejected events"), "one line a minute")
	require.Equal(t, 1, srv.log.count("search attribute SessionPhase"), "the cause is only in the log")
}
