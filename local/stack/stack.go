// Package stack is everything in one process: a real Temporal server with its
// Web UI, the sandbox in Salesforce's place, and our worker.
package stack

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.uber.org/zap"

	"sessionkeeper/conversation"
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
	// Ports; 0 is any free one.
	TemporalPort, UIPort, SandboxPort, MetricsPort int
	// Logger is the worker's. Default: none.
	Logger *zap.Logger
	// Wrap, where set, stands between the worker and the sandbox.
	Wrap func(http.Handler) http.Handler
	// Behaviour, where set, changes what the sandbox does where Salesforce's
	// behaviour is not documented.
	Behaviour func(*simulator.Config)
	// DynamicConfig is the Temporal server's.
	DynamicConfig map[string]any
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

	logger *zap.Logger
	closed []func()
}

// Start starts everything and returns once the worker takes work.
func Start(ctx context.Context, o Options) (*Stack, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	s := &Stack{logger: o.Logger}
	for _, step := range []func(context.Context, Options) error{s.startSandbox, s.startTemporal, s.startWorker} {
		if err := step(ctx, o); err != nil {
			s.Stop()
			return nil, err
		}
	}
	return s, nil
}

// Stop stops everything, the worker first. Twice is harmless.
func (s *Stack) Stop() {
	for _, stop := range slices.Backward(s.closed) {
		stop()
	}
	s.closed = nil
}

func (s *Stack) startSandbox(ctx context.Context, o Options) error {
	org, key, err := simulator.DemoOrg()
	if err != nil {
		return err
	}
	directory, err := os.MkdirTemp("", "sessionkeeper-")
	if err != nil {
		return fmt.Errorf("directory for the sandbox's key: %w", err)
	}
	s.closed = append(s.closed, func() { _ = os.RemoveAll(directory) })
	keyFile := filepath.Join(directory, "key.pem")
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		return fmt.Errorf("write the sandbox's key: %w", err)
	}

	listener, err := listen(ctx, "the sandbox", o.SandboxPort)
	if err != nil {
		return err
	}
	s.SandboxURL = "http://" + listener.Addr().String()
	org.Audiences = []string{s.SandboxURL}
	config := simulator.Config{Orgs: []simulator.Org{org}}
	if o.Behaviour != nil {
		o.Behaviour(&config)
	}
	if s.Sandbox, err = simulator.New(config); err != nil {
		return fmt.Errorf("start the sandbox: %w", err)
	}
	var handler http.Handler = s.Sandbox
	if o.Wrap != nil {
		handler = o.Wrap(handler)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	s.closed = append(s.closed, func() { _ = server.Close() })

	s.Config = service.Config{
		TaskQueue: conversation.DefaultTaskQueue, CachedConversations: 10_000, StopTimeout: 5 * time.Second,
		Orgs: []service.Org{{
			OrgID: org.OrgID, APIBaseURL: s.SandboxURL, CallTimeout: 5 * time.Second, TokenLifetime: 10 * time.Minute,
			JWTBearer: &service.JWTBearer{
				ConsumerKey: org.ConsumerKey, Username: org.Username, Audience: s.SandboxURL,
				TokenURL: s.SandboxURL + "/services/oauth2/token", Key: service.Secret{File: keyFile},
			},
		}},
	}
	return nil
}

func (s *Stack) startTemporal(ctx context.Context, o Options) error {
	attributes := map[string]enumspb.IndexedValueType{}
	for _, name := range conversation.SearchAttributes() {
		attributes[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	server, err := embedded.Start(ctx, embedded.Options{
		Namespace: Namespace, DBFile: o.DBFile, UI: o.UI,
		FrontendPort: o.TemporalPort, UIPort: o.UIPort,
		SearchAttributes: attributes, DynamicConfig: o.DynamicConfig,
	})
	if err != nil {
		return fmt.Errorf("start Temporal: %w", err)
	}
	s.closed = append(s.closed, server.Stop)
	s.TemporalAddress, s.UIAddress = server.FrontendAddress(), server.UIAddress()
	if s.Temporal, err = client.DialContext(ctx, s.connection()); err != nil {
		return fmt.Errorf("connect to Temporal at %s: %w", s.TemporalAddress, err)
	}
	s.closed = append(s.closed, s.Temporal.Close)
	return nil
}

func (s *Stack) connection() client.Options {
	return client.Options{HostPort: s.TemporalAddress, Namespace: Namespace, Logger: log.NewStructuredLogger(quiet())}
}

func (s *Stack) startWorker(ctx context.Context, o Options) error {
	if o.NoWorker {
		return nil
	}
	address, stop, err := s.Work(ctx, o.MetricsPort)
	if err != nil {
		return err
	}
	s.MetricsURL = "http://" + address + "/metrics"
	s.closed = append(s.closed, stop)
	return nil
}

// Work runs one worker until stop is called. It returns once the worker takes
// work, with the address of its health and metrics.
func (s *Stack) Work(ctx context.Context, metricsPort int) (address string, stop func(), err error) {
	// The worker outlives the call; stop ends it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	started, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- service.Run(ctx, service.Options{
			Config: s.Config, Temporal: s.connection(), Logger: s.logger, Version: "local",
			Listen:  net.JoinHostPort("127.0.0.1", strconv.Itoa(metricsPort)),
			Started: func(address string) { started <- address },
		})
	}()
	select {
	case address := <-started:
		return address, func() {
			cancel()
			if err := <-ended; err != nil {
				s.logger.Error("Worker ended with an error", zap.Error(err))
			}
		}, nil
	case err := <-ended:
		cancel()
		return "", nil, fmt.Errorf("start the worker: %w", err)
	}
}

func listen(ctx context.Context, what string, port int) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("port %d for %s is taken: %w", port, what, err)
	}
	return listener, nil
}
