package telemetry

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.uber.org/zap"
)

// NewMetrics returns a metrics handler for the Temporal SDK, and the registry with
// its metrics, those of the Go runtime and of the process.
//
// Labels have names of Temporal and of this program, never data of a
// conversation. Only one label has an open set of values: "reason" of
// sessionkeeper_calls_total, which is mostly Salesforce's errorReason. There are a
// few dozen of them, and the OpenTelemetry SDK limits each metric to 2,000 series.
func NewMetrics(version string, logger *zap.Logger) (client.MetricsHandler, *prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sessionkeeper_build_info", Help: "Always 1. The label has the version of the program",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	process := collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})
	registry.MustRegister(build, collectors.NewGoCollector(), process)
	exporter, err := prometheusexporter.New(prometheusexporter.WithRegisterer(registry),
		prometheusexporter.WithoutScopeInfo(), prometheusexporter.WithoutTargetInfo())
	if err != nil {
		return nil, nil, fmt.Errorf("set up metrics: %w", err)
	}
	provider := metric.NewMeterProvider(metric.WithReader(exporter), metric.WithView(withBuckets))
	handler := opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		Meter:                provider.Meter("sessionkeeper"),
		OnError:              func(err error) { logger.Warn("Metric not recorded", zap.Error(err)) },
		UseMonotonicCounters: true,
	})
	return handler, registry, nil
}

// Buckets in seconds. The default buckets of OpenTelemetry are for milliseconds:
// almost all latencies in seconds would be in the first one.
var (
	// LatencyBuckets begin at 1 ms: a receiver answers most requests faster than 5 ms.
	LatencyBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	// LatenessBuckets are for the time between an event and its arrival.
	LatenessBuckets = []float64{.1, .5, 1, 2.5, 5, 10, 30, 60, 300, 600, hour, 3 * hour, 12 * hour, day}
	// A conversation lasts minutes to days.
	lifetimeBuckets = []float64{
		10, 60, 300, 900, 1800, hour, 2 * hour, 6 * hour, 12 * hour, day, 2 * day, 7 * day,
	}
)

const (
	hour = 3600
	day  = 24 * hour
)

// withBuckets is the view that sets the buckets of every histogram.
func withBuckets(instrument metric.Instrument) (metric.Stream, bool) {
	bounds := LatencyBuckets
	switch {
	case strings.HasPrefix(instrument.Name, "temporal_workflow_endtoend_latency"):
		bounds = lifetimeBuckets
	case strings.HasPrefix(instrument.Name, "sessionkeeper_event_lateness"):
		bounds = LatenessBuckets
	}
	return metric.Stream{
		Name: instrument.Name, Description: instrument.Description, Unit: instrument.Unit,
		Aggregation: metric.AggregationExplicitBucketHistogram{Boundaries: bounds},
	}, instrument.Kind == metric.InstrumentKindHistogram
}
