package receiver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// listeners are where requests arrive.
type listeners struct{ door, health net.Listener }

func (l listeners) close() {
	_ = l.door.Close()
	_ = l.health.Close()
}

func (o Options) listen(ctx context.Context) (listeners, error) {
	secure, err := o.tls()
	if err != nil {
		return listeners{}, err
	}
	door, err := listen(ctx, o.Listen)
	if err != nil {
		return listeners{}, fmt.Errorf("listen for events: %w", err)
	}
	if o.Tokens == nil && !loopback(door.Addr()) {
		_ = door.Close()
		return listeners{}, fmt.Errorf("listen for events on %s: without tokens want a loopback address, such as 127.0.0.1:8080", o.Listen)
	}
	health, err := listen(ctx, o.MetricsListen)
	if err != nil {
		_ = door.Close()
		return listeners{}, fmt.Errorf("listen for health and metrics: %w", err)
	}
	if secure != nil {
		door = tls.NewListener(door, secure)
	}
	return listeners{door: door, health: health}, nil
}

// tls is how the door is secured, nil for plain HTTP.
func (o Options) tls() (*tls.Config, error) {
	switch {
	case o.Certificate == "" && o.Key == "":
		return nil, nil //nolint:nilnil // no TLS is asked for
	case o.Certificate == "" || o.Key == "":
		return nil, errors.New("want both a TLS certificate and its key, or neither")
	}
	c := &certificate{certificate: o.Certificate, key: o.Key, logger: o.Logger}
	if err := c.read(); err != nil {
		return nil, err
	}
	return &tls.Config{GetCertificate: c.present, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}, nil
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", address) //nolint:wrapcheck // the caller says what for
}

func loopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
