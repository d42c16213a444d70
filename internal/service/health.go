package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"sessionkeeper/internal/telemetry"
)

// readiness is whether the worker takes work: a client once it does, else none.
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
	return telemetry.Reach(ctx, *temporal) //nolint:wrapcheck // it says what was asked
}

// endpoints serve health and metrics until they are closed.
type endpoints struct {
	server  *http.Server
	address string
}

func serve(ctx context.Context, listen string, handler http.Handler, logger *zap.Logger) (*endpoints, error) {
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listen for health and metrics: %w", err)
	}
	e := &endpoints{
		server:  &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second},
		address: listener.Addr().String(),
	}
	go func() {
		if err := e.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("Health and metrics stopped", zap.Error(err))
		}
	}()
	return e, nil
}

func (e *endpoints) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = e.server.Shutdown(ctx)
}

// CheckReady asks the worker that listens on this address of this machine
// whether it is ready, for container images that have no shell. It takes at
// most 4 seconds. The error is one line.
func CheckReady(ctx context.Context, listen string) error {
	url, err := readyURL(listen)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*telemetry.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err //nolint:wrapcheck // it names the URL
	}
	// Not by a proxy that the environment names.
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("no answer from %s: %w", url, err)
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %d: %s", url, answer.StatusCode, strings.Join(strings.Fields(string(said)), " "))
	}
	return nil
}

// readyURL is where to ask a worker that listens on an address such as ":9090".
func readyURL(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("listen address %q: %w", listen, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port) + "/readyz", nil
}
