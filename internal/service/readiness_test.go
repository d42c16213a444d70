package service

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc/health/grpc_health_v1"

	"sessionkeeper/internal/telemetry"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

func TestReadyWhileTemporalIsHealthy(t *testing.T) {
	f := newFrontend()
	f.serve(t, "127.0.0.1:0")
	ready := readiness{orgs: NewOrgs(Config{}, "1.2.3", zap.NewNop())}
	handler := telemetry.Handler(prometheus.NewRegistry(), ready.check)
	server, err := telemetry.Serve(t.Context(), "127.0.0.1:0", handler, func(err error) { t.Error(err) })
	require.NoError(t, err)
	defer server.Close(context.WithoutCancel(t.Context()))
	url := "http://" + server.Address()
	expect := func(status int, want string) {
		t.Helper()
		code, body := get(t, url+"/readyz")
		require.Equal(t, status, code)
		require.Equal(t, want, body)
		code, body = get(t, url+"/healthz")
		require.Equal(t, http.StatusOK, code, "the orchestrator must not restart a worker that waits for Temporal")
		require.Equal(t, "ok\n", body)

		err := telemetry.CheckReady(t.Context(), server.Address())
		if status == http.StatusOK {
			require.NoError(t, err)
			return
		}
		require.EqualError(t, err, url+"/readyz answered 503: "+want[:len(want)-1])
	}
	expect(http.StatusServiceUnavailable, "not ready: not connected to Temporal, or stopping\n")
	ready.started(f.connect(t), nil)
	expect(http.StatusOK, "ready\n")
	f.health.SetServingStatus(frontendService, grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	expect(http.StatusServiceUnavailable,
		"not ready: check Temporal: health check returned unhealthy status: NOT_SERVING\n")
	f.health.SetServingStatus(frontendService, grpc_health_v1.HealthCheckResponse_SERVING)
	expect(http.StatusOK, "ready\n")
	ready.stopping()
	expect(http.StatusServiceUnavailable, "not ready: not connected to Temporal, or stopping\n")
}
