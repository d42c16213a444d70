package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.uber.org/zap"
)

// newMetrics returns the SDK's metrics handler and the registry that shows what
// it counts.
func newMetrics(logger *zap.Logger) (client.MetricsHandler, *prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := prometheusexporter.New(prometheusexporter.WithRegisterer(registry), prometheusexporter.WithoutScopeInfo())
	if err != nil {
		return nil, nil, fmt.Errorf("set up metrics: %w", err)
	}
	handler := opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		Meter:                metric.NewMeterProvider(metric.WithReader(exporter)).Meter("sessionkeeper"),
		OnError:              func(err error) { logger.Warn("Metric not recorded", zap.Error(err)) },
		UseMonotonicCounters: true,
	})
	return handler, registry, nil
}

// readiness is whether the worker takes work: a client once it does, else why
// not.
type readiness struct {
	temporal atomic.Pointer[client.Client]
}

func (r *readiness) ready(c client.Client) { r.temporal.Store(&c) }
func (r *readiness) stopping()             { r.temporal.Store(nil) }

func (r *readiness) check(ctx context.Context) error {
	temporal := r.temporal.Load()
	if temporal == nil {
		return errors.New("not connected to Temporal, or stopping")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := (*temporal).CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return fmt.Errorf("check Temporal: %w", err)
	}
	return nil
}

// endpoints serves /healthz, /readyz and /metrics until it is closed.
type endpoints struct {
	server  *http.Server
	address string
}

func serve(ctx context.Context, listen string, registry *prometheus.Registry, r *readiness, logger *zap.Logger) (*endpoints, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, q *http.Request) {
		if err := r.check(q.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))

	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listen for health and metrics: %w", err)
	}
	e := &endpoints{
		server:  &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second},
		address: listener.Addr().String(),
	}
	go func() {
		if err := e.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("Health and metrics stopped", zap.Error(err))
		}
	}()
	return e, nil
}

func (e *endpoints) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = e.server.Shutdown(ctx)
}
