package service

import (
	"context"
	"io"
	"net"
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
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(body)
}

func TestReadyFollowsTemporal(t *testing.T) {
	f := newFrontend()
	f.serve(t, "127.0.0.1:0")
	var ready readiness
	e, err := serve(t.Context(), "127.0.0.1:0", telemetry.Handler(prometheus.NewRegistry(), ready.check), zap.NewNop())
	require.NoError(t, err)
	defer e.close(context.WithoutCancel(t.Context()))
	expect := func(status int, said string) {
		t.Helper()
		code, body := get(t, "http://"+e.address+"/readyz")
		require.Equal(t, status, code)
		require.Equal(t, said, body)
		code, body = get(t, "http://"+e.address+"/healthz")
		require.Equal(t, http.StatusOK, code, "waiting for Temporal is no reason to restart the worker")
		require.Equal(t, "ok\n", body)

		err := CheckReady(t.Context(), e.address)
		if status == http.StatusOK {
			require.NoError(t, err)
			return
		}
		require.EqualError(t, err, "http://"+e.address+"/readyz says 503: "+said[:len(said)-1])
	}
	expect(http.StatusServiceUnavailable, "not ready: not connected to Temporal, or stopping\n")
	ready.ready(f.dial(t))
	expect(http.StatusOK, "ready\n")
	f.health.SetServingStatus(frontendService, grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	expect(http.StatusServiceUnavailable, "not ready: check Temporal: health check returned unhealthy status: NOT_SERVING\n")
	f.health.SetServingStatus(frontendService, grpc_health_v1.HealthCheckResponse_SERVING)
	expect(http.StatusOK, "ready\n")
	ready.stopping()
	expect(http.StatusServiceUnavailable, "not ready: not connected to Temporal, or stopping\n")
}

func TestTakenPortIsAnError(t *testing.T) {
	var config net.ListenConfig
	taken, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, err = serve(t.Context(), taken.Addr().String(), http.NotFoundHandler(), zap.NewNop())
	require.ErrorContains(t, err, "listen for health and metrics: listen tcp "+taken.Addr().String())
}

func TestReadyURL(t *testing.T) {
	for listen, want := range map[string]string{
		":9090":             "http://localhost:9090/readyz",
		"0.0.0.0:9090":      "http://localhost:9090/readyz",
		"[::]:9090":         "http://localhost:9090/readyz",
		"127.0.0.1:1":       "http://127.0.0.1:1/readyz",
		"[::1]:9090":        "http://[::1]:9090/readyz",
		"worker.local:9090": "http://worker.local:9090/readyz",
	} {
		url, err := readyURL(listen)
		require.NoError(t, err)
		require.Equal(t, want, url)
	}
}

func TestCheckReadyWithoutAnAnswer(t *testing.T) {
	address := nobody(t)
	require.ErrorContains(t, CheckReady(t.Context(), address), "no answer from http://"+address+"/readyz: ")
	require.EqualError(t, CheckReady(t.Context(), "9090"), `listen address "9090": address 9090: missing port in address`)
}
