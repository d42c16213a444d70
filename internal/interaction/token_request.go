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

// tokenRequester fetches a token by a flow of golang.org/x/oauth2.
type tokenRequester struct {
	flow      func(context.Context) (*oauth2.Token, error)
	transport http.RoundTripper
}

// request runs the flow once. Every error is a [*TokenError], made from the recorded
// response. The errors of oauth2 cannot be used: they contain whole bodies, and those
// of its jwt package do not wrap their cause and do not have OAuth's error.
func (t tokenRequester) request(ctx context.Context) (*oauth2.Token, error) {
	recorder := &recordingTransport{ctx: ctx, transport: t.transport}
	client := &http.Client{
		Transport:     recorder,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	token, err := t.flow(context.WithValue(ctx, oauth2.HTTPClient, client))
	redact := newRedactor(recorder.credentials...)
	switch {
	case recorder.err != nil:
		return nil, &TokenError{Err: redact.error(recorder.err)}
	case recorder.response == nil:
		return nil, &TokenError{Err: redact.error(err)}
	}
	if failure := recorder.response.toTokenError(redact); failure != nil {
		return nil, failure
	}
	if err != nil {
		return nil, &TokenError{
			HTTPStatus: recorder.response.status,
			Err:        fmt.Errorf("%w: %w", ErrMalformedResponse, redact.error(err)),
		}
	}
	return token, nil
}

// recordingTransport sends one token request for oauth2 and records the response.
type recordingTransport struct {
	ctx       context.Context // for the request: oauth2's jwt package sends it without one
	transport http.RoundTripper

	credentials []string      // in the request
	response    *httpResponse // nil if there was none
	err         error         // why there was none
}

// RoundTrip sends the request and reads at most maxBodyBytes of the response.
func (t *recordingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	t.credentials = credentialsIn(req)
	resp, err := t.transport.RoundTrip(req.WithContext(t.ctx))
	if err != nil {
		t.err = err
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	read := readResponse(resp)
	t.response = &read
	resp.Body = io.NopCloser(bytes.NewReader(read.body))
	// oauth2 reads a text/plain body as a form. Only JSON is accepted here.
	resp.Header = resp.Header.Clone()
	resp.Header.Set("Content-Type", "application/json")
	return resp, nil
}

// credentialsIn returns the secrets in the form of a token request.
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
