package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.temporal.io/sdk/client"
)

// reachTimeout is how long Temporal may take to answer the readiness check.
const reachTimeout = 2 * time.Second

// Reach returns an error if Temporal does not answer within 2 seconds.
func Reach(ctx context.Context, temporal client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	if _, err := temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return fmt.Errorf("check Temporal: %w", err)
	}
	return nil
}

// Handler serves /healthz, /readyz and /metrics. /readyz answers 503 with the
// error that ready returns. Without an error it answers 200, with what is degraded if
// anything is: a program that is degraded still works.
func Handler(registry *prometheus.Registry, ready func(context.Context) (degraded string, err error)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		degraded, err := ready(r.Context())
		switch {
		case err != nil:
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		case degraded != "":
			_, _ = fmt.Fprintln(w, "ready, degraded: "+degraded)
		default:
			_, _ = fmt.Fprintln(w, "ready")
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return SafeHeaders(mux)
}

// SafeHeaders adds the headers that keep a browser from running or framing an answer.
func SafeHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// Server serves health and metrics.
type Server struct {
	http    *http.Server
	address string
}

// Serve listens on the address and serves the handler until [Server.Close]. It
// calls onError if serving ends before that.
func Serve(ctx context.Context, listen string, handler http.Handler, onError func(error)) (*Server, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listen for health and metrics: %w", err)
	}
	s := &Server{http: NewServer(handler), address: listener.Addr().String()}
	go func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			onError(fmt.Errorf("serve health and metrics: %w", err))
		}
	}()
	return s, nil
}

// NewServer returns the HTTP server of a [Handler].
func NewServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
}

// Address returns the address with the port on which the server listens.
func (s *Server) Address() string { return s.address }

// Close stops the server. Requests in flight have one second to finish.
func (s *Server) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = s.http.Shutdown(ctx)
}

// CheckReady asks the program that listens on this address of this machine
// whether it is ready. It is the health check of the container image, which has
// no shell. It takes at most 4 seconds. The error has one line.
func CheckReady(ctx context.Context, listen string) error {
	url, err := readyURL(listen)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*reachTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// A transport without Proxy: the environment may name a proxy, which cannot
	// reach this machine.
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("no answer from %s: %w", url, err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d: %s", url, response.StatusCode, strings.Join(strings.Fields(string(body)), " "))
	}
	return nil
}

// readyURL returns the URL of /readyz for a listen address such as ":9090".
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
