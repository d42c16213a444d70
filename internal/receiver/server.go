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

	"sessionkeeper/internal/access"
	"sessionkeeper/internal/connection"
	"sessionkeeper/internal/telemetry"
	"sessionkeeper/sender"
)

// server handles the requests of the API.
type server struct {
	tokens         *access.Tokens
	failures       *authFailures
	accounts       *accounts
	audit          auditLog
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

	//nolint:contextcheck // a sender is used until it is closed
	accounts := newAccounts(func(own access.Quota) *account { return o.newAccount(temporal, own, logger) })
	srv := &server{
		tokens: o.Tokens, failures: newAuthFailures(registry, logger), accounts: accounts,
		audit: auditLog{to: o.Audit, logger: logger}, allowedOrigins: o.AllowedOrigins, limits: o.Limits,
		metrics: newMetrics(registry, accounts), lateness: newLateness(registry, logger), log: outageLog{logger: logger},
	}
	api := newHTTPServer(srv.routes(), o.Limits, logger)
	metricsServer := telemetry.NewServer(telemetry.Handler(registry, ready.check))
	defer metricsServer.Close()
	stopped := make(chan error, 2)
	go func() { stopped <- metricsServer.Serve(metricsListener) }()
	go func() { stopped <- api.Serve(apiListener) }()
	watchCtx, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	o.Keys.Watch(watchCtx, logger)
	o.Tokens.Register(registry)
	o.Tokens.Watch(watchCtx, logger, func() { accounts.retain(context.WithoutCancel(ctx), o.Tokens.Named()) })
	o.warnOfExposure(logger)
	o.Tokens.WarnOfExposure(logger)
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
	return errors.Join(err, drain(context.WithoutCancel(ctx), o.DrainTimeout, api, accounts, logger))
}

// warnOfExposure warns of what other users or machines could read or change.
func (o Options) warnOfExposure(logger *slog.Logger) {
	if connection.IsReadable(o.Temporal) {
		logger.Warn("Temporal is on another machine and the connection has no TLS: payloads can be read on the way",
			"temporal", o.Temporal.HostPort)
	}
}

// newAccount returns the account of a token with this quota.
func (o Options) newAccount(temporal client.Client, own access.Quota, logger *slog.Logger) *account {
	quota := own.OrElse(o.Quota)
	settings := o.Sender
	settings.Logger, settings.DataConverter = logger, o.Temporal.DataConverter
	settings.MaxConversations, settings.MaxBytes = quota.Conversations, quota.ConversationBytes
	return &account{usage: newUsage(quota, o.Limits), sender: sender.New(temporal, settings), own: own}
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
	if api, err = o.Listener.Listen(ctx, o.Tokens != nil, logger); err != nil {
		return nil, nil, fmt.Errorf("listen for events: %w", err)
	}
	var listening net.ListenConfig
	if metrics, err = listening.Listen(ctx, "tcp", o.MetricsListen); err != nil {
		_ = api.Close()
		return nil, nil, fmt.Errorf("listen for health and metrics: %w", err)
	}
	return api, metrics, nil
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
func drain(
	ctx context.Context, limit time.Duration, api *http.Server, accounts *accounts, logger *slog.Logger,
) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	logger.Info("Stopping: finishing requests in flight, then reporting absorbed messages", "atMost", limit.String())
	requests, stop := context.WithTimeout(ctx, limit/2)
	defer stop()
	undrained := UndrainedError{Cut: api.Shutdown(requests) != nil}
	_ = api.Close()
	undrained.Cause = accounts.close(ctx)
	if undrained.Cut || undrained.Cause != nil {
		return &undrained
	}
	stats := accounts.stats()
	logger.Info("Stopped, everything was reported", "absorbed", stats.Absorbed, "reports", stats.Reports)
	return nil
}
