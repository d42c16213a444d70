package receiver_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMetricsCountRequestsAndEvents(t *testing.T) {
	srv := startServer(t)
	srv.post(t, batchType, batch(event("started", "c1", time.Now()), message("c1"), message("c1")))
	srv.post(t, structuredType, "invalid")
	srv.get(t, "/nowhere")
	code, text := srv.getMonitoring(t, "/metrics")
	require.Equal(t, http.StatusOK, code)
	for _, line := range []string{
		`sessionkeeper_http_requests_total{code="202",route="/v1/events"} 1`,
		`sessionkeeper_http_requests_total{code="400",route="/v1/events"} 1`,
		`sessionkeeper_http_requests_total{code="404",route="other"} 1`,
		`sessionkeeper_http_request_duration_seconds_count{route="/v1/events"} 2`,
		`sessionkeeper_events_total{receipt="sent",type="started"} 1`,
		`sessionkeeper_events_total{receipt="sent",type="message"} 1`,
		`sessionkeeper_events_total{receipt="absorbed",type="message"} 1`,
		`sessionkeeper_sender_absorbed_total 1`,
		`sessionkeeper_sender_reports_total 1`,
		`sessionkeeper_sender_report_failures_total 0`,
		`sessionkeeper_sender_conversations 1`,
		`sessionkeeper_sender_unreported_conversations 1`,
	} {
		require.Contains(t, text, "\n"+line+"\n")
	}
	require.Contains(t, text, "temporal_request_latency", "a metric of the SDK")
	require.NotContains(t, text, phone[1:])
	require.NotContains(t, text, "c1")
}
