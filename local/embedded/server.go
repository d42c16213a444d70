// Package embedded runs a real Temporal server and its Web UI inside this
// process, on SQLite or PostgreSQL, for demonstrations, end-to-end tests and
// benchmarks. It is not a production server: it has no authentication. It listens
// on 127.0.0.1 only and makes no requests to the internet.
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

// loopback is the address of every listener.
const loopback = "127.0.0.1"

// Options describe the server. The zero value is an in-memory server on free
// ports, without the Web UI.
type Options struct {
	// Namespace is created when it does not exist. Default "default".
	Namespace string

	// DBFile is the SQLite file that keeps the state. It is created when it does
	// not exist; its folder must exist. A server that is started on it again
	// continues where the last one stopped, even if that one was killed. Only one
	// process at a time can use a file, and a process that has used one holds it
	// until it exits. Empty keeps the state in memory.
	DBFile string

	// Postgres, where set, keeps the state on a PostgreSQL server instead;
	// DBFile must be empty then.
	Postgres *Postgres

	// FrontendPort, UIPort and MetricsPort are the ports of the Temporal
	// frontend (gRPC), the Web UI and the server's Prometheus metrics.
	// 0 takes any free port.
	FrontendPort, UIPort, MetricsPort int

	// SearchAttributes are registered in the namespace, in addition to those it
	// has. A namespace can have 10 Keyword attributes and 3 of each other type.
	SearchAttributes map[string]enumspb.IndexedValueType

	// RetentionPeriod is how long closed workflows are kept. Default 24 h.
	RetentionPeriod time.Duration

	// Logger receives the server's warnings and errors, and the rest of its log at
	// debug level. While the server starts and stops, it logs everything at debug
	// level. Default: warnings and errors to standard error.
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

// Server is a running Temporal server. [Start] returns one.
type Server struct {
	ports    ports
	log      *logger
	temporal temporal.Server
	ui       *webUI
	stopOnce sync.Once
}

// Start starts the server and returns when a client can use the namespace and
// its search attributes. ctx bounds the start only; [Server.Stop] ends the server.
//
// A wanted port that is taken is reported by its purpose and number before
// anything has started; errors.Is(err, syscall.EADDRINUSE) is true then. If
// another process takes a free port before the server opens it, Start tries other
// ports.
func Start(ctx context.Context, o Options) (*Server, error) {
	for attempt := 1; ; attempt++ {
		s, err := start(ctx, o.withDefaults())
		if err == nil || attempt == attempts || ctx.Err() != nil || !lostPort(err) {
			return s, err
		}
	}
}

// attempts is how often free ports are chosen at most.
const attempts = 3

// lostPort reports whether the server could not open a port that was free before.
// Its error is a text, while an error of claimPorts is EADDRINUSE.
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
			err = errors.Join(cause, err) // the server's own errors do not wrap it
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
	s.log.setRunning(true)
	return s, nil
}

// FrontendAddress returns the host:port that a Temporal client connects to.
func (s *Server) FrontendAddress() string { return address(s.ports.frontend) }

// UIAddress returns the URL of the Web UI, or "" without one.
func (s *Server) UIAddress() string {
	if s.ports.ui == 0 {
		return ""
	}
	return "http://" + address(s.ports.ui)
}

// MetricsAddress returns the URL of the server's Prometheus metrics.
func (s *Server) MetricsAddress() string { return "http://" + address(s.ports.metrics) + "/metrics" }

// Stop stops everything and releases the ports. With open polls of workers that
// takes up to about two seconds. A second call does nothing. About thirty parked
// goroutines remain, in client connections that the Temporal server cannot close.
func (s *Server) Stop() {
	s.stopOnce.Do(func() {
		s.log.setRunning(false)
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
