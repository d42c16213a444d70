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

// NewMetrics returns the SDK's metrics handler and the registry that shows what
// it counts.
//
// Labels hold names of Temporal's and of ours, never anything of a
// conversation. The one label with an open set of values is "reason" of
// sessionkeeper_calls_total, mostly Salesforce's errorReason: a few dozen names
// in practice, and at most 2,000 series per metric, which is the OpenTelemetry
// SDK's limit.
func NewMetrics(version string, logger *zap.Logger) (client.MetricsHandler, *prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sessionkeeper_build_info", Help: "1, with the version of the program",
		ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	registry.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := prometheusexporter.New(prometheusexporter.WithRegisterer(registry),
		prometheusexporter.WithoutScopeInfo(), prometheusexporter.WithoutTargetInfo())
	if err != nil {
		return nil, nil, fmt.Errorf("set up metrics: %w", err)
	}
	provider := metric.NewMeterProvider(metric.WithReader(exporter), metric.WithView(inSeconds))
	handler := opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		Meter:                provider.Meter("sessionkeeper"),
		OnError:              func(err error) { logger.Warn("Metric not recorded", zap.Error(err)) },
		UseMonotonicCounters: true,
	})
	return handler, registry, nil
}

// Buckets in seconds. OpenTelemetry's defaults are meant for milliseconds: of a
// latency in seconds they would say "less than 5" and no more.
var (
	// LatencyBuckets begin at 1 ms: a receiver answers most requests faster than 5 ms.
	LatencyBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	// A conversation takes minutes to days.
	lives = []float64{10, 60, 300, 900, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 2 * 24 * 3600, 7 * 24 * 3600}
)

// inSeconds is the view of every histogram.
func inSeconds(instrument metric.Instrument) (metric.Stream, bool) {
	bounds := LatencyBuckets
	if strings.HasPrefix(instrument.Name, "temporal_workflow_endtoend_latency") {
		bounds = lives
	}
	return metric.Stream{
		Name: instrument.Name, Description: instrument.Description, Unit: instrument.Unit,
		Aggregation: metric.AggregationExplicitBucketHistogram{Boundaries: bounds},
	}, instrument.Kind == metric.InstrumentKindHistogram
}
