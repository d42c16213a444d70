package interaction

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"
)

// granter fetches a token by a flow of golang.org/x/oauth2.
type granter struct {
	flow      func(context.Context) (*oauth2.Token, error)
	transport http.RoundTripper
}

// grant runs the flow once. Every error is a [*TokenError] made from the
// exchange itself: the errors of oauth2 hold whole bodies, and those of its
// jwt package neither wrap their cause nor read OAuth's error.
func (g granter) grant(ctx context.Context) (*oauth2.Token, error) {
	exchange := &exchange{ctx: ctx, transport: g.transport}
	client := &http.Client{
		Transport:     exchange,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	token, err := g.flow(context.WithValue(ctx, oauth2.HTTPClient, client))
	redact := newRedactor(exchange.credentials...)
	switch {
	case exchange.err != nil:
		return nil, &TokenError{Err: redact.error(exchange.err)}
	case exchange.answer == nil:
		return nil, &TokenError{Err: redact.error(err)}
	}
	if failure := exchange.answer.tokenFailure(redact); failure != nil {
		return nil, failure
	}
	if err != nil {
		return nil, &TokenError{
			HTTPStatus: exchange.answer.status,
			Err:        fmt.Errorf("%w: %w", ErrMalformedResponse, redact.error(err)),
		}
	}
	return token, nil
}

// exchange is one request to a token endpoint: the transport that oauth2 sends
// it through, and the record of what came back.
type exchange struct {
	ctx       context.Context // oauth2's jwt package sends without one
	transport http.RoundTripper

	credentials []string // that the request contained
	answer      *answer  // nil when there was none
	err         error    // why there was none
}

// RoundTrip sends the request and reads the answer, within bounds.
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	x.credentials = credentialsIn(req)
	resp, err := x.transport.RoundTrip(req.WithContext(x.ctx))
	if err != nil {
		x.err = err
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	read := readAnswer(resp)
	x.answer = &read
	resp.Body = io.NopCloser(bytes.NewReader(read.body))
	// oauth2 would read a text/plain body as a form; grant insists on JSON.
	resp.Header = resp.Header.Clone()
	resp.Header.Set("Content-Type", "application/json")
	return resp, nil
}

func credentialsIn(req *http.Request) []string {
	body, err := req.GetBody()
	if err != nil {
		return nil
	}
	form, err := io.ReadAll(body)
	if err != nil {
		return nil
	}
	values, err := url.ParseQuery(string(form))
	if err != nil {
		return nil
	}
	return []string{values.Get("assertion"), values.Get("client_secret")}
}
