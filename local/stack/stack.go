// Package stack runs everything in one process: a real Temporal server with its
// Web UI, the sandbox in Salesforce's place, and our worker.
package stack

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.uber.org/zap"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/inprocess"
	"sessionkeeper/internal/seal"
	"sessionkeeper/internal/service"
	"sessionkeeper/local/embedded"
	"sessionkeeper/sandbox/simulator"
)

// Namespace is the one that everything runs in.
const Namespace = "default"

// Options are the settings of [Start]. The zero value works: in memory, free
// ports, no Web UI.
type Options struct {
	// DBFile keeps Temporal's state; empty keeps it in memory.
	DBFile string
	UI     bool
	// UICodecEndpoint is the address of the codec server that the Web UI asks, with the
	// credentials that the browser knows. Empty: none.
	UICodecEndpoint string
	// Ports; 0 is any free one.
	TemporalPort, UIPort, SandboxPort, MetricsPort int
	// Logger is the worker's. Default: none.
	Logger *zap.Logger
	// ServerLogger receives what the Temporal server and the client log. Default:
	// the server's warnings and errors and the client's errors, to standard error.
	ServerLogger *slog.Logger
	// Wrap, where set, returns a handler that stands between the worker and the
	// sandbox.
	Wrap func(http.Handler) http.Handler
	// Behaviour, where set, changes what the sandbox does where Salesforce's
	// behaviour is not documented.
	Behaviour func(*simulator.Config)
	// DynamicConfig is the Temporal server's.
	DynamicConfig map[string]any
	// Keys, where set, encrypt the payloads of the client and the worker.
	Keys *seal.Keys
	// NoWorker leaves the worker out.
	NoWorker bool
}

// Stack is what [Start] started.
type Stack struct {
	// Temporal is a client of the server.
	Temporal client.Client
	// Sandbox is the simulator behind SandboxURL.
	Sandbox *simulator.Simulator
	// Addresses, for people and programs.
	TemporalAddress, UIAddress, SandboxURL, MetricsURL string
	// Config is the worker's configuration.
	Config service.Config

	keys         *seal.Keys
	logger       *zap.Logger
	serverLogger *slog.Logger
	stops        []func()
}

// Start starts everything and returns once the worker takes work.
func Start(ctx context.Context, o Options) (*Stack, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	s := &Stack{keys: o.Keys, logger: o.Logger, serverLogger: o.ServerLogger}
	for _, step := range []func(context.Context, Options) error{s.startSandbox, s.startTemporal, s.startWorker} {
		if err := step(ctx, o); err != nil {
			s.Stop()
			return nil, err
		}
	}
	return s, nil
}

// Stop stops everything, the worker first. A second call does nothing.
func (s *Stack) Stop() {
	for _, stop := range slices.Backward(s.stops) {
		stop()
	}
	s.stops = nil
}

func (s *Stack) startSandbox(ctx context.Context, o Options) error {
	sandbox, err := inprocess.StartSandbox(ctx, inprocess.SandboxOptions{
		Port: o.SandboxPort, Wrap: o.Wrap, Behaviour: o.Behaviour,
	})
	if err != nil {
		return err
	}
	s.stops = append(s.stops, sandbox.Close)
	s.Sandbox, s.SandboxURL, s.Config = sandbox.Simulator, sandbox.URL, sandbox.Config
	return nil
}

func (s *Stack) startTemporal(ctx context.Context, o Options) error {
	attributes := map[string]enumspb.IndexedValueType{}
	for _, name := range conversation.SearchAttributes() {
		attributes[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	server, err := embedded.Start(ctx, embedded.Options{
		Namespace: Namespace, DBFile: o.DBFile, UI: o.UI, UICodecEndpoint: o.UICodecEndpoint,
		FrontendPort: o.TemporalPort, UIPort: o.UIPort,
		SearchAttributes: attributes, DynamicConfig: o.DynamicConfig, Logger: o.ServerLogger,
	})
	if err != nil {
		return fmt.Errorf("start Temporal: %w", err)
	}
	s.stops = append(s.stops, server.Stop)
	s.TemporalAddress, s.UIAddress = server.FrontendAddress(), server.UIAddress()
	if s.Temporal, err = client.DialContext(ctx, s.Connection()); err != nil {
		return fmt.Errorf("connect to Temporal at %s: %w", s.TemporalAddress, err)
	}
	s.stops = append(s.stops, s.Temporal.Close)
	return nil
}

// Connection returns the settings of a connection to the server.
func (s *Stack) Connection() client.Options {
	logger := s.serverLogger
	if logger == nil {
		logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	}
	options := client.Options{HostPort: s.TemporalAddress, Namespace: Namespace, Logger: log.NewStructuredLogger(logger)}
	seal.Apply(&options, s.keys)
	return options
}

func (s *Stack) startWorker(ctx context.Context, o Options) error {
	if o.NoWorker {
		return nil
	}
	address, stop, err := s.StartWorker(ctx, o.MetricsPort)
	if err != nil {
		return err
	}
	s.MetricsURL = "http://" + address + "/metrics"
	s.stops = append(s.stops, stop)
	return nil
}

// StartWorker starts one worker, which runs until stop is called. It returns once
// the worker takes work, with the address of its health and metrics.
func (s *Stack) StartWorker(ctx context.Context, metricsPort int) (address string, stop func(), err error) {
	address, stopWorker, err := inprocess.StartWorker(ctx, metricsPort, service.Options{
		Config: s.Config, Temporal: s.Connection(), Keys: s.keys, Logger: s.logger, Version: "local",
	})
	if err != nil {
		return "", nil, err
	}
	return address, func() {
		if err := stopWorker(); err != nil {
			s.logger.Error("Worker ended with an error", zap.Error(err))
		}
	}, nil
}
