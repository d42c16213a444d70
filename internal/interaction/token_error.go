package interaction

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// TokenError is the error of a token source that got no access token.
type TokenError struct {
	// HTTPStatus is the status of the response, 0 if there was none.
	HTTPStatus int
	// Code is OAuth's error, such as "invalid_grant", if any.
	Code string
	// Description is OAuth's error_description. It has one line and at most 500
	// characters.
	Description string
	// RetryAfter is the value of the header Retry-After, at most one hour. 0 if
	// absent.
	RetryAfter time.Duration
	// Err says why there is no usable response: the error of the network or the
	// context, or an error that wraps [ErrMalformedResponse]. Nil if the endpoint
	// answered with an error.
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

// Passing reports whether the failure passes by itself: no usable response, a
// transient status, or an OAuth error that says so. An example is "login rate
// exceeded" as the description of invalid_grant.
func (e *TokenError) Passing() bool {
	return e.Err != nil || IsTransient(e.HTTPStatus) || passingCode.MatchString(e.Code) ||
		saysPassing(e.Code) || saysPassing(e.Description)
}

var (
	passingCode = regexp.MustCompile(`(?i)^(?:unknown_error|(?:internal_)?server_error|slow_down)$`)
	passingText = regexp.MustCompile(`(?i)temporar|unavailable|retry your request|try again later`)
)

func saysPassing(text string) bool { return saysRateLimited(text) || passingText.MatchString(text) }

// toTokenError returns the error in a response of the token endpoint. It returns nil
// for a success.
func (r httpResponse) toTokenError(redact redactor) *TokenError {
	var body struct {
		Code            json.RawMessage `json:"error"`
		Description     json.RawMessage `json:"error_description"`
		RESTCode        json.RawMessage `json:"errorCode"` // as Salesforce's REST API names it
		RESTDescription json.RawMessage `json:"message"`
		AccessToken     string          `json:"access_token"`
	}
	object, parseErr := firstObject(r.body)
	if parseErr == nil {
		parseErr = json.Unmarshal(object, &body)
	}
	code := cmp.Or(scalar(body.Code), scalar(body.RESTCode))
	description := cmp.Or(scalar(body.Description), scalar(body.RESTDescription))
	if IsSuccess(r.status) && r.err == nil && code == "" && isVisibleASCII(body.AccessToken) {
		return nil
	}
	e := &TokenError{
		HTTPStatus:  r.status,
		Code:        redact.name(code),
		Description: shorten(redact.text(description), maxMessageRunes),
		RetryAfter:  retryAfter(r.header, time.Now()),
	}
	switch {
	case code != "":
	case isRedirect(r.status):
		e.Description = "redirects are not followed"
	case !IsSuccess(r.status):
		e.Description = fmt.Sprintf("no OAuth error in the response (%d bytes of %q)",
			len(r.body), shorten(redact.text(r.header.Get("Content-Type")), maxNameRunes))
	case r.err != nil:
		e.Err = redact.error(r.err)
	case parseErr != nil:
		e.Err = fmt.Errorf("%w: not JSON", ErrMalformedResponse)
	default:
		e.Err = fmt.Errorf("%w: no usable access_token", ErrMalformedResponse)
	}
	return e
}
