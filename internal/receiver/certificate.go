package receiver

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// certificate is the door's, in two files that may be renewed.
type certificate struct {
	certificate, key string
	logger           *slog.Logger

	mu     sync.Mutex
	pair   tls.Certificate
	readAt time.Time
}

// present is for tls.Config.GetCertificate. It reads the files again, now and
// then; while they are wrong, it goes on with what it has.
func (c *certificate) present(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.readAt) > rereadAfter {
		if err := c.read(); err != nil {
			c.logger.Error("The TLS certificate stays as it is", "error", err)
		}
	}
	pair := c.pair
	return &pair, nil
}

func (c *certificate) read() error {
	c.readAt = time.Now()
	pair, err := tls.LoadX509KeyPair(c.certificate, c.key)
	if err != nil {
		return fmt.Errorf("load the TLS certificate: %w", err)
	}
	c.pair = pair
	return nil
}
