package interaction

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// NewTransport returns the default HTTP transport of clients and token sources. It
// uses TLS 1.2 or newer, HTTP/2 if the server supports it, the proxies of the
// environment, and at most 64 idle connections per host for 90 seconds. Clients and
// token sources may share a transport. To change it, for example to add root
// certificates, do so before its first use.
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
		// Responses are small. And without compression a request has only the
		// headers that Salesforce documents.
		DisableCompression: true,
		ForceAttemptHTTP2:  true,
		// A network may drop an HTTP/2 connection without notice. A ping finds that
		// before all requests on the connection time out.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}

func transportOr(transport http.RoundTripper) http.RoundTripper {
	if transport == nil {
		return NewTransport()
	}
	return transport
}
