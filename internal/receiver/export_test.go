package receiver

import (
	"crypto/tls"
	"log/slog"
	"time"
)

// SetPollInterval makes a test of replaced tokens short.
func SetPollInterval(t *Tokens, interval time.Duration) { t.interval = interval }

// GetCertificate returns the function that serves this certificate to clients.
func GetCertificate(file, keyFile string, logger *slog.Logger) (
	func(*tls.ClientHelloInfo) (*tls.Certificate, error), error,
) {
	c := &certificate{file: file, keyFile: keyFile, logger: logger}
	return c.get, c.load()
}
