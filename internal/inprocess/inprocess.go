// Package inprocess runs the sandbox and a worker inside the calling process,
// for the demo and for end-to-end tests. Both listen on 127.0.0.1 only.
package inprocess

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/service"
	"sessionkeeper/sandbox/simulator"
)

// SandboxOptions are the settings of [StartSandbox]. The zero value works.
type SandboxOptions struct {
	// Port is where the sandbox listens; 0 is any free port.
	Port int
	// Wrap, where set, returns a handler that stands between the worker and the
	// sandbox.
	Wrap func(http.Handler) http.Handler
	// Behaviour, where set, changes the sandbox's configuration.
	Behaviour func(*simulator.Config)
}

// Sandbox is a running simulator of Salesforce with the demo org.
type Sandbox struct {
	*simulator.Simulator
	// URL is where it listens.
	URL string
	// Config is the configuration of a worker that calls this sandbox.
	Config service.Config

	server    *http.Server
	directory string
}

// StartSandbox starts a sandbox. Close ends it.
func StartSandbox(ctx context.Context, o SandboxOptions) (*Sandbox, error) {
	org, key, err := simulator.DemoOrg()
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", loopback(o.Port))
	if err != nil {
		return nil, fmt.Errorf("listen on port %d for the sandbox: %w", o.Port, err)
	}
	s := &Sandbox{URL: "http://" + listener.Addr().String()}
	org.Audiences = []string{s.URL}
	config := simulator.Config{Orgs: []simulator.Org{org}}
	if o.Behaviour != nil {
		o.Behaviour(&config)
	}
	if s.Simulator, err = simulator.New(config); err != nil {
		return nil, errors.Join(fmt.Errorf("start the sandbox: %w", err), listener.Close())
	}
	keyFile, err := s.writeKey(key)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s.Config = workerConfig(org, s.URL, keyFile)
	var handler http.Handler = s.Simulator
	if o.Wrap != nil {
		handler = o.Wrap(handler)
	}
	s.server = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

// Close stops the sandbox and deletes its key.
func (s *Sandbox) Close() {
	_ = s.server.Close()
	_ = os.RemoveAll(s.directory)
}

// writeKey writes the private key to a file, because a worker reads it from one.
func (s *Sandbox) writeKey(key []byte) (file string, err error) {
	if s.directory, err = os.MkdirTemp("", "sessionkeeper-"); err != nil {
		return "", fmt.Errorf("make a directory for the sandbox's key: %w", err)
	}
	file = filepath.Join(s.directory, "key.pem")
	if err := os.WriteFile(file, key, 0o600); err != nil {
		return "", errors.Join(fmt.Errorf("write the sandbox's key: %w", err), os.RemoveAll(s.directory))
	}
	return file, nil
}

func workerConfig(org simulator.Org, url, keyFile string) service.Config {
	return service.Config{
		TaskQueue: conversation.DefaultTaskQueue, CachedConversations: 10_000, StopTimeout: 5 * time.Second,
		Orgs: []service.Org{{
			OrgID: org.OrgID, APIBaseURL: url, CallTimeout: 5 * time.Second, TokenLifetime: 10 * time.Minute,
			JWTBearer: &service.JWTBearer{
				ConsumerKey: org.ConsumerKey, Username: org.Username, Audience: url,
				TokenURL: url + "/services/oauth2/token", Key: service.Secret{File: keyFile},
			},
		}},
	}
}

// StartWorker starts a worker and returns once it takes work, with the address
// of its health and metrics. The worker runs after ctx ends too, until stop is
// called; stop returns the worker's error. o.Listen is set from metricsPort, 0
// being any free port.
func StartWorker(
	ctx context.Context, metricsPort int, o service.Options,
) (address string, stop func() error, err error) {
	started, ended := make(chan string, 1), make(chan error, 1)
	o.Listen = loopback(metricsPort)
	o.Started = func(address string) { started <- address }
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() { ended <- service.Run(working, o) }()
	stop = func() error {
		cancel()
		return <-ended
	}
	select {
	case address := <-started:
		return address, stop, nil
	case err := <-ended:
		cancel()
		return "", nil, fmt.Errorf("start the worker: %w", err)
	case <-ctx.Done():
		return "", nil, errors.Join(context.Cause(ctx), stop())
	}
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
