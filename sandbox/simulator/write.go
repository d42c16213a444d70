package simulator

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
)

const (
	hugeBody = 8 << 20
	htmlPage = "<!DOCTYPE html><html><body><h1>Service temporarily unavailable</h1></body></html>\n"
)

// write sends the outcome to the client. Errors of writing mean that the client
// has left, which is nothing to act on.
func (out outcome) write(w http.ResponseWriter) {
	switch {
	case out.clientGone:
	case out.spoiled == Reset:
		reset(w)
	case out.spoiled == Truncate:
		body := out.reply.json()
		out.reply.head(w, "application/json", len(body))
		_, _ = w.Write(body[:len(body)/2])
	case out.spoiled == NotJSON:
		out.reply.head(w, "text/html; charset=utf-8", len(htmlPage))
		_, _ = w.Write([]byte(htmlPage))
	case out.spoiled == Huge:
		// White space after the value: still JSON, but too much to read.
		body := out.reply.json()
		out.reply.head(w, "application/json", len(body)+hugeBody)
		_, _ = w.Write(body)
		_, _ = w.Write(bytes.Repeat([]byte{' '}, hugeBody))
	default:
		body := out.reply.json()
		out.reply.head(w, "application/json", len(body))
		_, _ = w.Write(body)
	}
}

func (r reply) json() []byte {
	// Strings, numbers and booleans always marshal.
	body, _ := json.Marshal(r.body)
	return body
}

func (r reply) head(w http.ResponseWriter, contentType string, length int) {
	if r.retryAfter != "" {
		w.Header().Set("Retry-After", r.retryAfter)
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(r.status)
}

// reset drops the connection so that the client sees a reset, not an end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		// A server whose connections cannot be taken over (HTTP/2) aborts the
		// stream of an answer that is shorter than it said.
		w.Header().Set("Content-Length", "1")
		w.WriteHeader(http.StatusOK)
		return
	}
	type underlying interface{ NetConn() net.Conn }
	plain := conn
	if secured, isTLS := conn.(underlying); isTLS {
		plain = secured.NetConn()
	}
	if tcp, isTCP := plain.(*net.TCPConn); isTCP {
		_ = tcp.SetLinger(0)
	}
	_ = plain.Close()
}
