package interaction

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// NewTransport returns the HTTP transport that clients and token sources use
// by default: TLS 1.2 or newer, HTTP/2 where the server speaks it, proxies from
// the environment, and up to 64 idle connections per host kept for 90 seconds.
// Change it before its first use to add, for instance, a company's root
// certificates. Several clients and token sources may share one.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    5 * time.Second,
		MaxIdleConns:           128,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// Answers are small, and without compression a request has no other
		// headers than the documented ones.
		DisableCompression: true,
		ForceAttemptHTTP2:  true,
		// An HTTP/2 connection that a network has silently dropped is found by
		// a ping, not by every request on it timing out.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}

func transportOr(transport http.RoundTripper) http.RoundTripper {
	if transport == nil {
		return NewTransport()
	}
	return transport
}
