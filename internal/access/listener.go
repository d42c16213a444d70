package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"sessionkeeper/internal/secretfile"
)

// Listener says where a server listens, and whether with TLS.
type Listener struct {
	// Address is host:port. Without a host the server listens on every address.
	Address string
	// Certificate and Key are PEM files. Without them the server uses plain HTTP.
	Certificate, Key string
	// PlainHTTP allows plain HTTP on other addresses than loopback ones: a proxy in
	// front of the server serves TLS.
	PlainHTTP bool
}

// Listen listens. It refuses an address on which another machine could read or do what it
// must not.
func (l Listener) Listen(ctx context.Context, hasTokens bool, logger *slog.Logger) (net.Listener, error) {
	config, err := tlsConfig(l.Certificate, l.Key, logger)
	if err != nil {
		return nil, err
	}
	if exposure := secretfile.Exposure(l.Key); exposure != "" {
		logger.Warn("The file of the TLS key "+exposure, "file", l.Key)
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", l.Address)
	if err != nil {
		return nil, err
	}
	if err := l.check(listener.Addr(), hasTokens, config != nil); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("on %s: %w", l.Address, err)
	}
	return withTLS(listener, config), nil
}

func (l Listener) check(address net.Addr, hasTokens, hasTLS bool) error {
	switch {
	case isLoopback(address):
		return nil
	case !hasTokens:
		return errors.New("without tokens want a loopback address, such as 127.0.0.1:8080")
	case !hasTLS && !l.PlainHTTP:
		return errors.New("without TLS, tokens and personal data could be read on the way: want a certificate, " +
			"a loopback address, or plain HTTP (-plain-http) behind a proxy that serves TLS")
	}
	return nil
}

func isLoopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
