// Package telemetry has the logs, the Prometheus metrics and the endpoints
// /healthz, /readyz and /metrics of the worker and the receiver.
package telemetry
