package access

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// tlsConfig returns nil for plain HTTP, which is used without a certificate.
func tlsConfig(certificateFile, keyFile string, logger *slog.Logger) (*tls.Config, error) {
	switch {
	case certificateFile == "" && keyFile == "":
		return nil, nil
	case certificateFile == "" || keyFile == "":
		return nil, errors.New("want both a TLS certificate and its key, or neither")
	}
	c := &certificate{file: certificateFile, keyFile: keyFile, logger: logger}
	if err := c.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		GetCertificate: c.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	}, nil
}

func withTLS(listener net.Listener, config *tls.Config) net.Listener {
	if config == nil {
		return listener
	}
	return tls.NewListener(listener, config)
}

// certificate is the server's certificate. Its two files may be replaced while the
// server runs.
type certificate struct {
	file, keyFile string
	logger        *slog.Logger

	mu       sync.Mutex
	pair     tls.Certificate
	loadedAt time.Time
}

// get implements tls.Config.GetCertificate. It loads the files again after
// [pollInterval]. While they are invalid it keeps the certificate that it has.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.loadedAt) > pollInterval {
		if err := c.load(); err != nil {
			c.logger.Error("The TLS certificate was not replaced", "error", err)
		}
	}
	pair := c.pair
	return &pair, nil
}

func (c *certificate) load() error {
	c.loadedAt = time.Now()
	pair, err := tls.LoadX509KeyPair(c.file, c.keyFile)
	if err != nil {
		return fmt.Errorf("load the TLS certificate: %w", err)
	}
	c.pair = pair
	return nil
}
