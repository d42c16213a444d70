// Package telemetry has what the worker and the HTTP receiver show of themselves:
// logs, Prometheus metrics, and the endpoints /healthz, /readyz and /metrics.
package telemetry
