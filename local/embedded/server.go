// Package embedded runs a real Temporal server and its Web UI inside this
// process, on SQLite or PostgreSQL, for demonstrations, end-to-end tests and
// benchmarks. It listens on 127.0.0.1 only, calls nobody, and has no
// authentication: it is not a production server.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/server/temporal"
)

// loopback is the only address anything here listens on.
const loopback = "127.0.0.1"

// Options describe the server. The zero value is an in-memory server on free
// ports, without the Web UI.
type Options struct {
	// Namespace is created when it does not exist. Default "default".
	Namespace string

	// DBFile is the SQLite file that keeps the state; it is created when it
	// does not exist (its folder must). A server started on it again goes on
	// where the last one stopped, even if that one was killed. Only one
	// process at a time can use a file, and a process that has used one
	// holds it until it exits. Empty keeps the state in memory.
	DBFile string

	// Postgres, where set, keeps the state on a PostgreSQL server instead;
	// DBFile must be empty then.
	Postgres *Postgres

	// FrontendPort, UIPort and MetricsPort are the ports of the Temporal
	// frontend (gRPC), the Web UI and the server's Prometheus metrics.
	// 0 takes any free port.
	FrontendPort, UIPort, MetricsPort int

	// SearchAttributes are registered on the namespace, beside those it has.
	// There is room for 10 Keyword attributes and 3 of each other type.
	SearchAttributes map[string]enumspb.IndexedValueType

	// RetentionPeriod is how long closed workflows are kept. Default 24 h.
	RetentionPeriod time.Duration

	// Logger receives the server's warnings and errors as such and the rest
	// of its log at debug level, as it does with what the server complains
	// about while it starts and stops. Default: warnings and errors to
	// standard error.
	Logger *slog.Logger

	// UI starts the Web UI.
	UI bool

	// UICodecEndpoint is the URL of a codec server with which the Web UI
	// decodes payloads, if any.
	UICodecEndpoint string

	// DynamicConfig adds to, or overrides, the server's dynamic
	// configuration; keys as in Temporal's documentation, such as
	// "frontend.namespaceRPS".
	DynamicConfig map[string]any
}

func (o Options) withDefaults() Options {
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	if o.RetentionPeriod == 0 {
		o.RetentionPeriod = 24 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = defaultLogger()
	}
	return o
}

// Server is a running Temporal server. Make one with [Start].
type Server struct {
	ports    ports
	log      *logger
	temporal temporal.Server
	ui       *webUI
	stopOnce sync.Once
}

// Start starts the server and returns when a client can use the namespace and
// its search attributes at once. ctx bounds the start only; end the server
// with [Server.Stop].
//
// A port that is taken is reported by its purpose and number before anything
// has started; errors.Is(err, syscall.EADDRINUSE) tells that case. Another
// process may take a free port in the moment before the server opens it; then
// others are tried.
func Start(ctx context.Context, o Options) (*Server, error) {
	for attempt := 1; ; attempt++ {
		s, err := start(ctx, o.withDefaults())
		if err == nil || attempt == attempts || ctx.Err() != nil || !lostPort(err) {
			return s, err
		}
	}
}

// attempts bounds how often free ports are chosen.
const attempts = 3

// lostPort reports whether the server itself met a port that is taken. Its
// errors are texts; ours, of before, can be told apart.
func lostPort(err error) bool {
	return !errors.Is(err, syscall.EADDRINUSE) && strings.Contains(err.Error(), syscall.EADDRINUSE.Error())
}

func start(ctx context.Context, o Options) (_ *Server, err error) {
	s := &Server{log: newLogger(o.Logger)}

	var uiListener net.Listener
	if s.ports, uiListener, err = claimPorts(ctx, o); err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			return
		}
		s.Stop()
		if uiListener != nil && s.ui == nil {
			err = errors.Join(err, uiListener.Close())
		}
		if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
			err = errors.Join(cause, err) // the server's own errors drop it
		}
	}()

	db, err := databaseOf(o)
	if err != nil {
		return nil, err
	}
	if err := prepareDatabase(ctx, db, o); err != nil {
		return nil, err
	}
	if err := s.startTemporal(serverConfig(s.ports, db), dynamicConfig(o.DynamicConfig)); err != nil {
		return nil, err
	}
	if err := awaitReady(ctx, s.FrontendAddress(), o.Namespace); err != nil {
		return nil, err
	}
	if uiListener != nil {
		if s.ui, err = startWebUI(uiListener, s.FrontendAddress(), o); err != nil {
			return nil, err
		}
	}
	s.log.settle()
	return s, nil
}

// FrontendAddress is the host:port a Temporal client dials.
func (s *Server) FrontendAddress() string { return address(s.ports.frontend) }

// UIAddress is the URL of the Web UI, empty when it was not asked for.
func (s *Server) UIAddress() string {
	if s.ports.ui == 0 {
		return ""
	}
	return "http://" + address(s.ports.ui)
}

// MetricsAddress is the URL of the server's Prometheus metrics.
func (s *Server) MetricsAddress() string { return "http://" + address(s.ports.metrics) + "/metrics" }

// Stop stops everything and releases the ports; with open polls of workers
// that takes up to about two seconds. A second call does nothing. (Some thirty
// parked goroutines stay behind, in client connections that the Temporal
// server has no way to close.)
func (s *Server) Stop() {
	s.stopOnce.Do(func() {
		s.log.unsettle()
		if s.ui != nil {
			s.ui.stop()
		}
		if s.temporal == nil {
			return
		}
		if err := s.temporal.Stop(); err != nil {
			s.log.out.Error("stop the Temporal server", "error", err)
		}
	})
}

func address(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

func fail(operation string, err error) error {
	return fmt.Errorf("embedded Temporal: %s: %w", operation, err)
}
