package receiver

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"

	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/sender"
)

// metrics are what the door counts. Labels hold routes, statuses, types and
// receipts, never anything of a conversation.
type metrics struct {
	registry *prometheus.Registry
	// temporal takes the SDK's own metrics.
	temporal  client.MetricsHandler
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	inFlight  prometheus.Gauge
	events    *prometheus.CounterVec
}

// latencies are buckets in seconds.
var latencies = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

func newMetrics(logger *slog.Logger) (*metrics, error) {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sessionkeeper_http_requests_total", Help: "Requests, by route and status",
		}, []string{"route", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sessionkeeper_http_request_duration_seconds", Help: "Time to answer a request, by route", Buckets: latencies,
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sessionkeeper_http_requests_in_flight", Help: "Requests under way",
		}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sessionkeeper_events_total", Help: "Events of well-formed requests, by type and by what became of them",
		}, []string{"type", "receipt"}),
	}
	m.registry.MustRegister(m.requests, m.durations, m.inFlight, m.events,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := prometheusexporter.New(prometheusexporter.WithRegisterer(m.registry),
		prometheusexporter.WithoutScopeInfo(), prometheusexporter.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("set up metrics: %w", err)
	}
	provider := metric.NewMeterProvider(metric.WithReader(exporter), metric.WithView(inSeconds))
	m.temporal = opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		Meter:                provider.Meter("sessionkeeper"),
		OnError:              func(err error) { logger.Warn("Metric not recorded", "error", err) },
		UseMonotonicCounters: true,
	})
	return m, nil
}

// inSeconds is the view of every histogram of the SDK: OpenTelemetry's default
// buckets are meant for milliseconds.
func inSeconds(instrument metric.Instrument) (metric.Stream, bool) {
	return metric.Stream{
		Name: instrument.Name, Description: instrument.Description, Unit: instrument.Unit,
		Aggregation: metric.AggregationExplicitBucketHistogram{Boundaries: latencies},
	}, instrument.Kind == metric.InstrumentKindHistogram
}

func (m *metrics) instrument(route string, next http.Handler) http.Handler {
	label := prometheus.Labels{"route": route}
	return promhttp.InstrumentHandlerInFlight(m.inFlight,
		promhttp.InstrumentHandlerDuration(m.durations.MustCurryWith(label),
			promhttp.InstrumentHandlerCounter(m.requests.MustCurryWith(label), next)))
}

// count adds the events of a request up, and returns the receipts of those that
// were accepted.
func (m *metrics) count(batch []cloudevent.Event, answers []answer) map[sender.Receipt]int {
	type series struct {
		kind    string
		receipt sender.Receipt
	}
	all, receipts := map[series]int{}, map[sender.Receipt]int{}
	for i, a := range answers {
		if a.err == nil {
			receipts[a.receipt]++
		} else {
			a.receipt = notAccepted
		}
		all[series{batch[i].Type, a.receipt}]++
	}
	for s, n := range all {
		m.events.WithLabelValues(strings.TrimPrefix(s.kind, "sessionkeeper.conversation."), string(s.receipt)).Add(float64(n))
	}
	return receipts
}

// notAccepted stands in the metrics for the receipt that an event did not get.
const notAccepted sender.Receipt = "not accepted"

// watch shows what a sender has done, and holds.
func (m *metrics) watch(s *sender.Sender) { m.registry.MustRegister(&senderMetrics{s}) }

type senderMetrics struct{ sender *sender.Sender }

var (
	absorbedTotal = prometheus.NewDesc("sessionkeeper_sender_absorbed_total", "Messages that were absorbed", nil, nil)
	reportsTotal  = prometheus.NewDesc("sessionkeeper_sender_reports_total", "Reports that Temporal took", nil, nil)
	failuresTotal = prometheus.NewDesc("sessionkeeper_sender_report_failures_total", "Reports that Temporal did not take at once", nil, nil)
	tracked       = prometheus.NewDesc("sessionkeeper_sender_conversations", "Conversations whose messages are absorbed at present", nil, nil)
	unreported    = prometheus.NewDesc("sessionkeeper_sender_unreported_conversations", "Those of them with a message that waits to be reported", nil, nil)
)

// Describe implements prometheus.Collector.
func (*senderMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{absorbedTotal, reportsTotal, failuresTotal, tracked, unreported} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m *senderMetrics) Collect(to chan<- prometheus.Metric) {
	stats := m.sender.Stats()
	to <- prometheus.MustNewConstMetric(absorbedTotal, prometheus.CounterValue, float64(stats.Absorbed))
	to <- prometheus.MustNewConstMetric(reportsTotal, prometheus.CounterValue, float64(stats.Reports))
	to <- prometheus.MustNewConstMetric(failuresTotal, prometheus.CounterValue, float64(stats.Failures))
	to <- prometheus.MustNewConstMetric(tracked, prometheus.GaugeValue, float64(stats.Conversations))
	to <- prometheus.MustNewConstMetric(unreported, prometheus.GaugeValue, float64(stats.Unreported))
}
