package receiver

import (
	"crypto/tls"
	"log/slog"
	"time"
)

// RereadAfter makes a test of changed tokens short.
func RereadAfter(t *Tokens, every time.Duration) { t.every = every }

// Present is what a door with this certificate presents to its clients.
func Present(file, key string, logger *slog.Logger) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	c := &certificate{certificate: file, key: key, logger: logger}
	return c.present, c.read()
}
