package telemetry

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// exposed returns the page /metrics after one value of each metric was recorded.
func exposed(t *testing.T, counters, gauges, timers []string) string {
	t.Helper()
	metrics, registry, err := NewMetrics("1.2.3", zap.NewNop())
	require.NoError(t, err)
	for _, name := range counters {
		metrics.Counter(name).Inc(1)
	}
	for _, name := range gauges {
		metrics.Gauge(name).Update(1)
	}
	for _, name := range timers {
		metrics.Timer(name).Record(7 * time.Millisecond)
	}
	recorder := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	Handler(registry, func(context.Context) (string, error) { return "", nil }).ServeHTTP(recorder, request)
	require.Equal(t, 200, recorder.Code)
	return recorder.Body.String()
}

func TestHistogramsHaveBucketsForTheirRange(t *testing.T) {
	text := exposed(t, nil, nil, []string{"temporal_activity_execution_latency", "temporal_workflow_endtoend_latency"})
	for _, line := range []string{
		`temporal_activity_execution_latency_seconds_bucket{le="0.005"} 0`,
		`temporal_activity_execution_latency_seconds_bucket{le="0.01"} 1`,
		`temporal_activity_execution_latency_seconds_bucket{le="60"} 1`,
		`temporal_workflow_endtoend_latency_seconds_bucket{le="10"} 1`,
		`temporal_workflow_endtoend_latency_seconds_bucket{le="604800"} 1`,
	} {
		require.Contains(t, text, "\n"+line+"\n")
	}
	require.NotContains(t, text, `le="10000"`, "a default bucket of OpenTelemetry")
	require.NotContains(t, text, "target_info")
	require.NotContains(t, text, "otel_scope")
}

func TestSeriesPerMetricAreLimited(t *testing.T) {
	metrics, registry, err := NewMetrics("1.2.3", zap.NewNop())
	require.NoError(t, err)
	for i := range 5000 {
		metrics.WithTags(map[string]string{"reason": strings.Repeat("x", i)}).Counter("sessionkeeper_calls").Inc(1)
	}
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		require.LessOrEqual(t, len(family.GetMetric()), 2000, family.GetName())
	}
}

// The names are those that the SDK (go.temporal.io/sdk/internal/common/metrics) and
// our activities record.
func TestDashboardUsesOnlyMetricsThatExist(t *testing.T) {
	text := exposed(t,
		[]string{
			"sessionkeeper_calls", "sessionkeeper_waits", "temporal_workflow_completed", "temporal_workflow_failed", "temporal_workflow_canceled",
			"temporal_workflow_continue_as_new", "temporal_workflow_task_execution_failed", "temporal_request",
			"temporal_request_failure", "temporal_sticky_cache_total_forced_eviction",
		},
		[]string{
			"temporal_num_pollers", "temporal_sticky_cache_size", "temporal_worker_task_slots_available",
			"temporal_worker_task_slots_used",
		},
		[]string{
			"temporal_activity_execution_latency", "temporal_activity_schedule_to_start_latency",
			"temporal_workflow_task_schedule_to_start_latency", "temporal_workflow_endtoend_latency",
			"temporal_activity_succeed_endtoend_latency",
		})
	dashboard, err := os.ReadFile("../../deploy/grafana/sessionkeeper.json")
	require.NoError(t, err)
	used := regexp.MustCompile(`\b(?:temporal|sessionkeeper)_\w+\b`).FindAllString(string(dashboard), -1)
	require.Greater(t, len(used), 10)
	// Package service has collectors of its own for these.
	existing := []string{
		"sessionkeeper_org_state", "sessionkeeper_settings_not_used", "sessionkeeper_version_without_tasks",
	}
	for _, found := range regexp.MustCompile(`(?m)^(\w+)[ {]`).FindAllStringSubmatch(text, -1) {
		existing = append(existing, found[1])
	}
	require.Subset(t, existing, used)
	require.Contains(t, used, "sessionkeeper_calls_total")
}
