package simulator

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"
)

const (
	hugeBody = 8 << 20
	htmlPage = "<!DOCTYPE html><html><body><h1>Service temporarily unavailable</h1></body></html>\n"
)

// response is an HTTP response before it is sent. The fields after body are for
// the journal.
type response struct {
	status      int
	retryAfter  string
	body        map[string]any
	code        int
	symbol      string
	errorReason string
	success     bool
}

// errorResponse makes the response that a describes.
func (s *Simulator) errorResponse(req *request, a Answer) response {
	a = a.withDefaults()
	res := response{
		status: a.Status, retryAfter: a.retryAfterHeader(s.now()),
		code: a.Code, symbol: a.Symbol, errorReason: a.ErrorReason,
	}
	switch {
	case a.ErrorReason != "":
		res.body = map[string]any{"success": false, s.errorReasonField(): a.ErrorReason}
	case req.endpoint == TokenEndpoint:
		res.errorReason = a.Symbol
		res.body = map[string]any{"error": a.oauthErrorName(), "error_description": req.expand(a.Message)}
	default:
		res.body = map[string]any{"code": s.codeField(a), "message": req.expand(a.Message)}
	}
	return res
}

func (s *Simulator) errorReasonField() string {
	if s.config.Behaviour.CapitalErrorReason {
		return "ErrorReason"
	}
	return "errorReason"
}

func (s *Simulator) codeField(a Answer) any {
	if a.Symbol != "" && (a.Code == 0 || s.config.Behaviour.SymbolicCodes) {
		return a.Symbol
	}
	return a.Code
}

// expand replaces the placeholders of a message with the request's values.
func (req *request) expand(message string) string {
	return strings.NewReplacer(
		"{orgId}", req.orgID(),
		"{channelAddressIdentifier}", req.fields["channelAddressIdentifier"],
		"{endUserClientId}", req.fields["endUserClientId"],
		"{conversationIdentifier}", req.fields["conversationIdentifier"],
		"{sessionId}", req.fields["sessionId"],
	).Replace(message)
}

// write sends the response. Write errors are ignored: they mean that the client
// has closed the connection.
func (res result) write(w http.ResponseWriter) {
	if res.clientGone {
		return
	}
	body := res.response.json()
	switch res.breakage {
	case Reset:
		reset(w)
	case Truncate:
		res.response.writeHeader(w, "application/json", len(body))
		_, _ = w.Write(body[:len(body)/2])
	case NotJSON:
		res.response.writeHeader(w, "text/html; charset=utf-8", len(htmlPage))
		_, _ = w.Write([]byte(htmlPage))
	case Huge:
		// White space after the value: valid JSON, but too much to read.
		res.response.writeHeader(w, "application/json", len(body)+hugeBody)
		_, _ = w.Write(body)
		_, _ = w.Write(bytes.Repeat([]byte{' '}, hugeBody))
	default:
		res.response.writeHeader(w, "application/json", len(body))
		_, _ = w.Write(body)
	}
}

func (r response) json() []byte {
	// The body holds only strings, numbers and booleans, so this cannot fail.
	body, _ := json.Marshal(r.body)
	return body
}

func (r response) writeHeader(w http.ResponseWriter, contentType string, length int) {
	if r.retryAfter != "" {
		w.Header().Set("Retry-After", r.retryAfter)
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(length))
	w.WriteHeader(r.status)
}

// reset closes the connection with a TCP reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		// HTTP/2 connections cannot be hijacked. The server then resets the
		// stream, because the body is shorter than its Content-Length.
		w.Header().Set("Content-Length", "1")
		w.WriteHeader(http.StatusOK)
		return
	}
	plain := conn
	if tls, isTLS := conn.(interface{ NetConn() net.Conn }); isTLS {
		plain = tls.NetConn()
	}
	if tcp, isTCP := plain.(*net.TCPConn); isTCP {
		_ = tcp.SetLinger(0)
	}
	_ = plain.Close()
}
