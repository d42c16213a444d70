package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
)

// ports are those of one server; ui is 0 without the Web UI. The last three are
// used by the server's own services.
type ports struct {
	frontend, ui, metrics     int
	history, matching, worker int
}

// claimPorts checks that every wanted port is free, and chooses free ports for the
// others. The Web UI's listener stays open. The other listeners are closed again,
// because the Temporal server opens its own.
func claimPorts(ctx context.Context, o Options) (p ports, ui net.Listener, err error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for _, want := range []struct {
		purpose string
		port    int
		got     *int
	}{
		{"Temporal frontend", o.FrontendPort, &p.frontend},
		{"Temporal server's metrics", o.MetricsPort, &p.metrics},
		{"Temporal history service", 0, &p.history},
		{"Temporal matching service", 0, &p.matching},
		{"Temporal worker service", 0, &p.worker},
	} {
		l, err := listen(ctx, want.purpose, want.port)
		if err != nil {
			return ports{}, nil, err
		}
		held = append(held, l)
		*want.got = portOf(l)
	}
	if !o.UI {
		return p, nil, nil
	}
	if ui, err = listen(ctx, "Temporal Web UI", o.UIPort); err != nil {
		return ports{}, nil, err
	}
	p.ui = portOf(ui)
	return p, ui, nil
}

func portOf(l net.Listener) int { return int(netip.MustParseAddrPort(l.Addr().String()).Port()) }

// listen listens on the port, or on any free one for 0.
func listen(ctx context.Context, purpose string, port int) (net.Listener, error) {
	if port == 0 {
		return listenOnFreePort(ctx, purpose)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address(port))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %d for the %s is taken: %w", port, purpose, err)
	case err != nil:
		return nil, fmt.Errorf("port %d for the %s: %w", port, purpose, err)
	}
	return l, nil
}

// Free ports are chosen below those that operating systems give to connections and
// to listeners on port 0 (from 32768 on Linux, 49152 on macOS and Windows), so
// that no process gets one after we close it and before the server opens it.
const firstFreePort, freePorts = 20_000, 12_000

func listenOnFreePort(ctx context.Context, purpose string) (l net.Listener, err error) {
	for range 100 {
		port := firstFreePort + rand.IntN(freePorts) //nolint:gosec // it need not be unpredictable
		if l, err = listen(ctx, purpose, port); err == nil || ctx.Err() != nil {
			return l, err
		}
	}
	return nil, err
}
