// Package receiver is the HTTP API of sessionkeeper. It takes a routing system's
// CloudEvents, sends them with a [sender.Sender], and returns the status of a
// conversation. The API is described in openapi.yaml, which the server also serves.
package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"

	"sessionkeeper/internal/telemetry"
	"sessionkeeper/sender"
)

// server handles the requests of the API.
type server struct {
	sender         *sender.Sender
	tokens         *Tokens
	allowedOrigins []string
	limits         Limits
	metrics        *metrics
	lateness       *lateness
	log            outageLog
}

// Run serves until ctx ends, then stops gracefully: it reports itself as not
// ready, accepts no further requests, finishes the requests in flight and reports
// the absorbed messages. It returns nil when everything was done in time, else an
// [*UndrainedError].
func Run(ctx context.Context, o Options) error {
	o = o.withDefaults()
	logger := telemetry.Slog(o.Logger)
	temporalMetrics, registry, err := telemetry.NewMetrics(o.Version, o.Logger)
	if err != nil {
		return err
	}
	o.Temporal.Logger, o.Temporal.MetricsHandler = telemetry.ForTemporal(o.Logger), temporalMetrics
	ready := &readiness{}
	o.Temporal.ConnectionOptions.DialOptions = append(slices.Clone(o.Temporal.ConnectionOptions.DialOptions),
		grpc.WithChainUnaryInterceptor(ready.observe))
	temporal, err := client.NewLazyClient(o.Temporal)
	if err != nil {
		return fmt.Errorf("connect to Temporal at %s: %w", o.Temporal.HostPort, err)
	}
	defer temporal.Close()
	ready.temporal = temporal
	apiListener, metricsListener, err := o.listen(ctx, logger)
	if err != nil {
		return err
	}
	defer apiListener.Close()
	defer metricsListener.Close()

	o.Sender.Logger = logger
	s := sender.New(temporal, o.Sender) //nolint:contextcheck // it lives until it is closed
	srv := &server{
		sender: s, tokens: o.Tokens, allowedOrigins: o.AllowedOrigins, limits: o.Limits,
		metrics: newMetrics(registry, s), lateness: newLateness(registry, logger), log: outageLog{logger: logger},
	}
	api := newHTTPServer(srv.routes(), o.Limits, logger)
	metricsServer := &http.Server{Handler: telemetry.Handler(registry, ready.check), ReadHeaderTimeout: headerTimeout}
	defer metricsServer.Close()
	stopped := make(chan error, 2)
	go func() { stopped <- metricsServer.Serve(metricsListener) }()
	go func() { stopped <- api.Serve(apiListener) }()
	watchCtx, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	o.Tokens.Watch(watchCtx, logger)
	address, metricsAddress := apiListener.Addr().String(), metricsListener.Addr().String()
	logger.Info("Serving", "listen", address, "metrics", metricsAddress,
		"temporal", o.Temporal.HostPort, "namespace", o.Temporal.Namespace)
	if o.Started != nil {
		o.Started(address, metricsAddress)
	}

	select {
	case <-ctx.Done():
	case err = <-stopped:
		err = fmt.Errorf("serve: %w", err)
	}
	ready.stopping.Store(true)
	return errors.Join(err, drain(context.WithoutCancel(ctx), o.DrainTimeout, api, s, logger))
}

const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute
	writeTimeout  = 10 * time.Second
	maxHeader     = 32 << 10
)

func newHTTPServer(handler http.Handler, l Limits, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: min(headerTimeout, l.Read),
		ReadTimeout:       l.Read,
		WriteTimeout:      l.Read + l.Accept + writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

func (o Options) listen(ctx context.Context, logger *slog.Logger) (api, metrics net.Listener, err error) {
	config, err := tlsConfig(o.Certificate, o.Key, logger)
	if err != nil {
		return nil, nil, err
	}
	var listening net.ListenConfig
	if api, err = listening.Listen(ctx, "tcp", o.Listen); err != nil {
		return nil, nil, fmt.Errorf("listen for events: %w", err)
	}
	if o.Tokens == nil && !isLoopback(api.Addr()) {
		_ = api.Close()
		return nil, nil, fmt.Errorf("listen for events on %s: without tokens want a loopback address, "+
			"such as 127.0.0.1:8080", o.Listen)
	}
	if metrics, err = listening.Listen(ctx, "tcp", o.MetricsListen); err != nil {
		_ = api.Close()
		return nil, nil, fmt.Errorf("listen for health and metrics: %w", err)
	}
	return withTLS(api, config), metrics, nil
}

func isLoopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// UndrainedError is the error of a stop that did not finish in time.
type UndrainedError struct {
	// Cut: connections with requests in flight were closed.
	Cut bool
	// Cause is nil or the sender's [*sender.UndrainedError].
	Cause error
}

// Error implements error.
func (e *UndrainedError) Error() string {
	const cut = "connections with requests in flight were closed"
	switch {
	case e.Cause == nil:
		return cut
	case e.Cut:
		return cut + "; " + e.Cause.Error()
	default:
		return e.Cause.Error()
	}
}

// Unwrap returns the cause.
func (e *UndrainedError) Unwrap() error { return e.Cause }

// drain finishes the requests in flight and reports the absorbed messages.
func drain(ctx context.Context, limit time.Duration, api *http.Server, s *sender.Sender, logger *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	logger.Info("Stopping: finishing requests in flight, then reporting absorbed messages", "atMost", limit.String())
	requests, stop := context.WithTimeout(ctx, limit/2)
	defer stop()
	undrained := UndrainedError{Cut: api.Shutdown(requests) != nil}
	_ = api.Close()
	undrained.Cause = s.Close(ctx)
	if undrained.Cut || undrained.Cause != nil {
		return &undrained
	}
	stats := s.Stats()
	logger.Info("Stopped, everything was reported", "absorbed", stats.Absorbed, "reports", stats.Reports)
	return nil
}
