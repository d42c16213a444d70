package interaction

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// TokenError is why a token source got no access token from the token endpoint.
type TokenError struct {
	// HTTPStatus is the status of the answer, 0 when there was none.
	HTTPStatus int
	// Code is OAuth's error, such as "invalid_grant", empty when there is none.
	Code string
	// Description is OAuth's error_description, in one line of at most 500
	// characters.
	Description string
	// RetryAfter is the wait that the answer asked for, at most an hour, 0 when
	// it asked for none.
	RetryAfter time.Duration
	// Err is why there is no usable answer: the error of the network or the
	// context, or one that wraps [ErrMalformedResponse] when the status was a
	// success. It is nil when the endpoint refused.
	Err error
}

// Error describes the failure in one line.
func (e *TokenError) Error() string {
	var facts []string
	if e.HTTPStatus != 0 {
		facts = append(facts, fmt.Sprintf("HTTP %d", e.HTTPStatus))
	}
	if e.Code != "" {
		facts = append(facts, e.Code)
	}
	if e.Description != "" {
		facts = append(facts, e.Description)
	}
	if e.Err != nil {
		facts = append(facts, e.Err.Error())
	}
	return "access token: " + strings.Join(facts, ", ")
}

// Unwrap returns Err.
func (e *TokenError) Unwrap() error { return e.Err }

// tokenFailure says what went wrong by the token endpoint's answer, nil when it
// is a success.
func (a answer) tokenFailure(redact redactor) *TokenError {
	var said struct {
		Code        json.RawMessage `json:"error"`
		Description json.RawMessage `json:"error_description"`
		AccessToken string          `json:"access_token"`
	}
	parseErr := json.Unmarshal(a.body, &said)
	code := scalar(said.Code)
	if isSuccess(a.status) && a.err == nil && code == "" && isVisibleASCII(said.AccessToken) {
		return nil
	}
	e := &TokenError{
		HTTPStatus:  a.status,
		Code:        redact.name(code),
		Description: oneShortLine(redact.text(scalar(said.Description)), maxMessageRunes),
		RetryAfter:  retryAfter(a.header, time.Now()),
	}
	switch {
	case code != "":
	case isRedirect(a.status):
		e.Description = "redirects are not followed"
	case !isSuccess(a.status):
		e.Description = fmt.Sprintf("no OAuth error in the answer (%d bytes of %q)",
			len(a.body), oneShortLine(redact.text(a.header.Get("Content-Type")), maxNameRunes))
	case a.err != nil:
		e.Err = redact.error(a.err)
	case parseErr != nil:
		e.Err = fmt.Errorf("%w: no JSON", ErrMalformedResponse)
	default:
		e.Err = fmt.Errorf("%w: no usable access_token", ErrMalformedResponse)
	}
	return e
}
