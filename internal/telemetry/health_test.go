package telemetry

import (
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestServeReportsAPortInUse(t *testing.T) {
	var config net.ListenConfig
	inUse, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer inUse.Close()
	_, err = Serve(t.Context(), inUse.Addr().String(), http.NotFoundHandler(), nil)
	require.ErrorContains(t, err, "listen for health and metrics: listen tcp "+inUse.Addr().String())
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
	var config net.ListenConfig
	closed, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	address := closed.Addr().String()
	require.ErrorContains(t, CheckReady(t.Context(), address), "no answer from http://"+address+"/readyz: ")
	require.EqualError(t, CheckReady(t.Context(), "9090"), `listen address "9090": address 9090: missing port in address`)
}
