// Package outages_test plays conversations through real processes, while each of them is
// killed, frozen, restarted and cut off from its network: Temporal on a database file or
// on PostgreSQL, two workers, the receiver and the sandbox. At the end it compares what
// Temporal has recorded, and what Salesforce was asked for, with what was acknowledged.
package outages_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"sessionkeeper/conversation"
	"sessionkeeper/local/embedded"
	"sessionkeeper/local/stack"
)

// The default values are the short form, which CI runs.
var (
	firstSeed     = flag.Uint64("outages.seed", 1, "the first seed")
	seeds         = flag.Uint64("outages.seeds", 1, "how many seeds are played")
	conversations = flag.Int("outages.conversations", 60, "conversations for each seed")
	failingFor    = flag.Duration("outages.for", time.Minute, "how long processes fail")
	onPostgres    = flag.Bool("outages.postgres", false, "also play with Temporal on PostgreSQL, which must be installed")
)

// roleEnv makes this test binary one of the processes that fail.
const roleEnv = "SESSIONKEEPER_OUTAGES_ROLE"

// role is what such a process does: it serves Temporal, or it passes requests on to the
// simulator of Salesforce, whose truth must survive.
type role struct {
	Temporal  *embedded.Options
	Listen    string
	Simulator string
}

func TestMain(m *testing.M) {
	text := os.Getenv(roleEnv)
	if text == "" {
		code := m.Run()
		if programs, err := buildPrograms(); err == nil {
			_ = os.RemoveAll(programs)
		}
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, text string) error {
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return fmt.Errorf("read the role: %w", err)
	}
	if r.Temporal != nil {
		return serveTemporal(ctx, *r.Temporal)
	}
	return serveSandbox(ctx, r)
}

func serveTemporal(ctx context.Context, o embedded.Options) error {
	o.Namespace, o.SearchAttributes = stack.Namespace, map[string]enumspb.IndexedValueType{}
	for _, name := range conversation.SearchAttributes() {
		o.SearchAttributes[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	server, err := embedded.Start(ctx, o)
	if err != nil {
		return err
	}
	<-ctx.Done()
	server.Stop()
	return nil
}

func serveSandbox(ctx context.Context, r role) error {
	simulator, err := url.Parse(r.Simulator)
	if err != nil {
		return fmt.Errorf("read the simulator's address: %w", err)
	}
	server := &http.Server{
		Addr: r.Listen, ReadHeaderTimeout: 10 * time.Second,
		Handler: httputil.NewSingleHostReverseProxy(simulator),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return server.Shutdown(context.WithoutCancel(ctx))
	}
}
