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

// ClientOptions has the optional settings of a [Client].
type ClientOptions struct {
	// Timeout limits one HTTP request, from connecting to the last byte of the
	// response. A call makes at most two requests. Default: 10 seconds.
	Timeout time.Duration
	// Transport sends the requests. It must not follow redirects, and should
	// support net/http/httptrace like [http.Transport]. Default: a new
	// [NewTransport].
	Transport http.RoundTripper
	// Version is the version in the header "User-Agent: sessionkeeper/<version>".
	// Default: "dev".
	Version string
	// PlainHTTP allows a base URL with http on another machine. Then access tokens
	// are sent unencrypted. Use it only for a simulator in a private network.
	PlainHTTP bool
}

// Client calls the Interaction Service of one Salesforce org. It is safe for
// concurrent use. Use one Client per org, so that connections and the access token
// are shared.
type Client struct {
	endpoint  string
	tokens    TokenSource
	transport http.RoundTripper
	timeout   time.Duration
	userAgent string
	renewals  renewals
}

// NewClient returns a client of the Interaction Service at the base URL, such as
// https://<MyDomain>.my.salesforce-scrt.com. This host is not the instance_url of
// an OAuth response. The error names every wrong setting.
func NewClient(baseURL string, tokens TokenSource, options ClientOptions) (*Client, error) {
	version := cmp.Or(options.Version, "dev")
	base, urlErr := parseEndpoint(baseURL, options.PlainHTTP)
	err := joinErrors(
		fieldError("base URL", urlErr),
		errorIf(tokens == nil, "token source is required"),
		errorIf(!isVisibleASCII(version), "Version must consist of visible ASCII characters"),
		errorIf(options.Timeout < 0, "Timeout must not be negative"),
	)
	if err != nil {
		return nil, fmt.Errorf("interaction client: %w", err)
	}
	return &Client{
		endpoint:  base.JoinPath("api", "v1", "messagingSession").String(),
		tokens:    tokens,
		transport: transportOr(options.Transport),
		timeout:   cmp.Or(options.Timeout, defaultTimeout),
		userAgent: "sessionkeeper/" + version,
	}, nil
}

// MessagingSession sends the request. If the access token is rejected, it fetches
// a new token and sends the request a second and last time. Calls that are rejected
// with the same token share the new one. If that is rejected too, further calls do
// not fetch another one for a minute, unless Salesforce has accepted it in the
// meantime: they send the second request with the same one. Every error is an [*Error].
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
	renewed, err := c.replace(ctx, token, failure)
	switch {
	case err != nil && !failure.tokenInvalid() && !passing(err):
		return Response{}, failure // the 403 tells an operator more than the failed token request
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

// replace returns the token for the second request: the current one, if that is not the
// rejected one, or if it replaced another one just now. Else it returns a new one.
func (c *Client) replace(ctx context.Context, rejected string, failure *Error) (string, error) {
	current, err := c.tokens.Token(ctx)
	if err == nil && (current != rejected || !c.renewals.allow(rejected, failure, time.Now())) {
		return current, nil
	}
	return c.tokens.Renew(ctx, rejected)
}

// call is the state of one call of [Client.MessagingSession].
type call struct {
	Request
	id       uuid.UUID // RequestId of the current or last HTTP request
	requests int       // number of HTTP requests so far
	tokens   []string  // access tokens used so far
}

func (c *call) redactor() redactor {
	return newRedactor(append([]string{c.EndUserClientID}, c.tokens...)...)
}

// complete adds the data of the call to an error.
func (c *call) complete(e *Error) *Error {
	e.Operation, e.RequestID, e.Requests = c.Operation, c.id, c.requests
	return e
}

func (c *call) notSent(err error) *Error {
	return c.complete(&Error{NotSent: true, Err: c.redactor().error(err)})
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
	var connection connectionTrace
	attempt, cancel := context.WithTimeout(connection.trace(ctx), c.timeout)
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
		return Response{}, call.complete(&Error{NotSent: connection.missing(), Err: call.redactor().error(err)})
	}
	defer func() { _ = resp.Body.Close() }()
	response := readResponse(resp)
	if !response.succeeded() {
		failure := call.complete(response.toError(call.redactor()))
		if failure.Reason != "" { // the operation was tried, so the token is good
			c.renewals.accepted(token)
		}
		return Response{}, failure
	}
	c.renewals.accepted(token)
	return Response{RequestID: call.id, HTTPStatus: response.status, Requests: call.requests}, nil
}

func (c *Client) newHTTPRequest(ctx context.Context, call *call, token string) (*http.Request, error) {
	body, err := call.body()
	if err != nil {
		return nil, fmt.Errorf("encode the body: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// Header.Set would change the spelling of OrgId and RequestId that Salesforce
	// documents.
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

// connectionTrace records whether a request got a connection. A transport may use
// several connections one after the other, but only while nothing was sent.
type connectionTrace struct{ waiting atomic.Bool }

func (t *connectionTrace) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { t.waiting.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { t.waiting.Store(false) },
	})
}

// missing reports that the request had no connection, so it was not sent.
func (t *connectionTrace) missing() bool { return t.waiting.Load() }
