package receiver

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/internal/telemetry"
)

// metrics are the receiver's own. Labels contain routes, statuses, types and
// receipts, but no data of a conversation.
type metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	inFlight  prometheus.Gauge
	events    *prometheus.CounterVec
}

func newMetrics(registry *prometheus.Registry, a *accounts) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sessionkeeper_http_requests_total", Help: "Requests, by route and status",
		}, []string{"route", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sessionkeeper_http_request_duration_seconds", Help: "Time to answer a request, by route",
			Buckets: telemetry.LatencyBuckets,
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sessionkeeper_http_requests_in_flight", Help: "Requests in flight",
		}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sessionkeeper_events_total", Help: "Events of valid requests, by type and receipt",
		}, []string{"type", "receipt"}),
	}
	registry.MustRegister(m.requests, m.durations, m.inFlight, m.events, &senderMetrics{a})
	return m
}

func (m *metrics) instrument(route string, next http.Handler) http.Handler {
	label := prometheus.Labels{"route": route}
	return promhttp.InstrumentHandlerInFlight(m.inFlight,
		promhttp.InstrumentHandlerDuration(m.durations.MustCurryWith(label),
			promhttp.InstrumentHandlerCounter(m.requests.MustCurryWith(label), next)))
}

// count counts the events of a request, which its record has.
func (m *metrics) count(r record) {
	for _, types := range r.Events {
		for eventType, receipts := range types {
			for receipt, n := range receipts {
				m.events.WithLabelValues(eventType, string(receipt)).Add(float64(n))
			}
		}
	}
}

// shortType is the type of an event as it is shown.
func shortType(e cloudevent.Event) string {
	return strings.TrimPrefix(e.Type, "sessionkeeper.conversation.")
}

// senderMetrics reads the senders' statistics when metrics are collected.
type senderMetrics struct{ accounts *accounts }

var (
	absorbedTotal = prometheus.NewDesc("sessionkeeper_sender_absorbed_total",
		"Messages that were absorbed", nil, nil)
	reportsTotal = prometheus.NewDesc("sessionkeeper_sender_reports_total",
		"Reports that Temporal accepted", nil, nil)
	failuresTotal = prometheus.NewDesc("sessionkeeper_sender_report_failures_total",
		"Attempts to report that failed; they are retried", nil, nil)
	conversations = prometheus.NewDesc("sessionkeeper_sender_conversations",
		"Conversations that the sender keeps in memory, to absorb their messages", nil, nil)
	unreported = prometheus.NewDesc("sessionkeeper_sender_unreported_conversations",
		"Conversations with an unreported message yet", nil, nil)
)

// Describe implements prometheus.Collector.
func (*senderMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{absorbedTotal, reportsTotal, failuresTotal, conversations, unreported} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m *senderMetrics) Collect(to chan<- prometheus.Metric) {
	stats := m.accounts.stats()
	to <- prometheus.MustNewConstMetric(absorbedTotal, prometheus.CounterValue, float64(stats.Absorbed))
	to <- prometheus.MustNewConstMetric(reportsTotal, prometheus.CounterValue, float64(stats.Reports))
	to <- prometheus.MustNewConstMetric(failuresTotal, prometheus.CounterValue, float64(stats.Failures))
	to <- prometheus.MustNewConstMetric(conversations, prometheus.GaugeValue, float64(stats.Conversations))
	to <- prometheus.MustNewConstMetric(unreported, prometheus.GaugeValue, float64(stats.Unreported))
}
