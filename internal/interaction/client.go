package interaction

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

const defaultTimeout = 10 * time.Second

// ClientOptions are the settings of a [Client] that have a default.
type ClientOptions struct {
	// Timeout bounds one HTTP request, from connecting to the last byte of the
	// answer. A call makes at most two of them. Default: 10 seconds.
	Timeout time.Duration
	// Transport sends the requests. It must not follow redirects, and should
	// support net/http/httptrace like [http.Transport]. Default: a
	// [NewTransport] of the client's own.
	Transport http.RoundTripper
	// Version is the version in the header "User-Agent: sessionkeeper/<version>".
	// Default: "dev".
	Version string
	// PlainHTTP allows a base URL with http on another machine than this one.
	// It sends access tokens unencrypted: only for a simulator in a network of
	// its own.
	PlainHTTP bool
}

// Client calls the Interaction Service of one Salesforce org. It is safe for
// concurrent use; share one, since it keeps connections and the access token.
type Client struct {
	endpoint  string
	tokens    TokenSource
	transport http.RoundTripper
	timeout   time.Duration
	userAgent string
}

// NewClient returns a client of the Interaction Service at the base URL, such
// as https://<MyDomain>.my.salesforce-scrt.com. That host is not the
// instance_url of an OAuth answer. The error names every wrong setting.
func NewClient(baseURL string, tokens TokenSource, options ClientOptions) (*Client, error) {
	version := cmp.Or(options.Version, "dev")
	base, err := parseEndpoint(baseURL, options.PlainHTTP)
	wrong := inOneLine(
		fieldError("base URL", err),
		errorIf(tokens == nil, "token source is required"),
		errorIf(!isVisibleASCII(version), "Version must consist of visible ASCII characters"),
		errorIf(options.Timeout < 0, "Timeout must not be negative"),
	)
	if wrong != nil {
		return nil, fmt.Errorf("interaction client: %w", wrong)
	}
	return &Client{
		endpoint:  base.JoinPath("api", "v1", "messagingSession").String(),
		tokens:    tokens,
		transport: transportOr(options.Transport),
		timeout:   cmp.Or(options.Timeout, defaultTimeout),
		userAgent: "sessionkeeper/" + version,
	}, nil
}

// MessagingSession performs the request's operation. When the access token is
// rejected, it renews the token and sends the request a second and last time.
// Every error is an [*Error].
func (c *Client) MessagingSession(ctx context.Context, request Request) (Response, error) {
	call := call{Request: request, id: request.RequestID}
	if err := request.Validate(); err != nil {
		return Response{}, call.notSent(err)
	}
	token, err := c.tokens.Token(ctx)
	if err != nil {
		return Response{}, call.notSent(err)
	}
	response, failure := c.send(ctx, &call, token)
	if failure == nil {
		return response, nil
	}
	if !failure.tokenRejected() {
		return Response{}, failure
	}
	renewed, err := c.tokens.Renew(ctx, token)
	switch {
	case err != nil && failure.HTTPStatus == http.StatusForbidden:
		return Response{}, failure // the refusal says more than the failed try to get around it
	case err != nil:
		return Response{}, call.notSent(err)
	}
	call.id = ResendID(request.RequestID)
	response, failure = c.send(ctx, &call, renewed)
	if failure != nil {
		return Response{}, failure
	}
	return response, nil
}

// call is a request and how far it has come.
type call struct {
	Request
	id       uuid.UUID // of the current or last HTTP request
	requests int
	tokens   []string // used so far
}

func (c *call) redactor() redactor {
	return newRedactor(append([]string{c.EndUserClientID}, c.tokens...)...)
}

// describe adds what the call knows to what an answer said.
func (c *call) describe(e *Error) *Error {
	e.Operation, e.RequestID, e.Requests = c.Operation, c.id, c.requests
	return e
}

func (c *call) notSent(err error) *Error {
	return c.describe(&Error{NotSent: true, Err: c.redactor().error(err)})
}

// send makes one HTTP request.
func (c *Client) send(ctx context.Context, call *call, token string) (Response, *Error) {
	if !isVisibleASCII(token) {
		return Response{}, call.notSent(errors.New("the token source returned no usable access token"))
	}
	if err := ctx.Err(); err != nil {
		return Response{}, call.notSent(err)
	}
	call.tokens = append(call.tokens, token)
	var sent tracedConnection
	attempt, cancel := context.WithTimeout(sent.trace(ctx), c.timeout)
	defer cancel()
	req, err := c.newHTTPRequest(attempt, call, token)
	if err != nil {
		return Response{}, call.notSent(err)
	}
	call.requests++
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		if ctx.Err() == nil && attempt.Err() != nil {
			err = fmt.Errorf("no answer within %s: %w", c.timeout, err)
		}
		return Response{}, call.describe(&Error{NotSent: sent.impossible(), Err: call.redactor().error(err)})
	}
	defer func() { _ = resp.Body.Close() }()
	answer := readAnswer(resp)
	if !answer.succeeded() {
		return Response{}, call.describe(answer.failure(call.redactor()))
	}
	return Response{RequestID: call.id, HTTPStatus: answer.status, Requests: call.requests}, nil
}

func (c *Client) newHTTPRequest(ctx context.Context, call *call, token string) (*http.Request, error) {
	body, err := call.body()
	if err != nil {
		return nil, fmt.Errorf("encoding the body: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// Assigned rather than set, to keep the spelling that Salesforce documents.
	req.Header = http.Header{
		"Authorization":        {"Bearer " + token},
		"Content-Type":         {"application/json"},
		"OrgId":                {call.OrgID},
		"RequestId":            {call.id.String()},
		"AuthorizationContext": {call.AuthorizationContext},
		"User-Agent":           {c.userAgent},
	}
	return req, nil
}

// tracedConnection observes whether a request had a connection to go out on.
// A transport may try several in a row, but only while nothing was sent.
type tracedConnection struct{ waiting atomic.Bool }

func (t *tracedConnection) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { t.waiting.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { t.waiting.Store(false) },
	})
}

// impossible reports that the request cannot have been sent.
func (t *tracedConnection) impossible() bool { return t.waiting.Load() }
