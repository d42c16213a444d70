package interaction

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// ErrMalformedResponse is wrapped by the error of a response with a 2xx status and a
// body that cannot be used: empty, cut off, too long, not JSON, or without the
// required field.
var ErrMalformedResponse = errors.New("malformed response")

// Error is the error of [Client.MessagingSession]. There are two cases:
//   - Err is nil: Salesforce answered that the call failed. HTTPStatus, Reason,
//     Code and Message have the content of the response. With a 2xx status, the
//     body has success:false.
//   - Err is not nil: there is no usable response. Err wraps [ErrInvalidRequest], a
//     [*TokenError], [ErrMalformedResponse], or the error of the network or the
//     context.
type Error struct {
	// Operation is the operation of the request.
	Operation Operation
	// Reason is Salesforce's errorReason, if any.
	Reason ErrorReason
	// HTTPStatus is the status of the response, 0 if there was none.
	HTTPStatus int
	// Code is Salesforce's error code, if any: a number ("10071") or a name.
	Code string
	// Message is Salesforce's message, or the beginning of a body of another form.
	// It has one line and at most 500 characters.
	Message string
	// RetryAfter is the value of the header Retry-After, at most one hour. 0 if
	// absent.
	RetryAfter time.Duration
	// RequestID is the RequestId of the last HTTP request of the call.
	RequestID uuid.UUID
	// Requests is the number of HTTP requests made to the Interaction Service.
	Requests int
	// NotSent: Salesforce cannot have processed the call, because the request was
	// invalid, or there was no access token or no connection.
	NotSent bool
	// Err says why there is no usable response. Nil if there is one.
	Err error
}

// Error describes the failure in one line.
func (e *Error) Error() string {
	var facts []string
	if e.Reason != "" {
		facts = append(facts, string(e.Reason))
	}
	if e.HTTPStatus != 0 {
		facts = append(facts, fmt.Sprintf("HTTP %d", e.HTTPStatus))
	}
	if e.Code != "" {
		facts = append(facts, "code "+e.Code)
	}
	if e.Message != "" {
		facts = append(facts, e.Message)
	}
	if e.Err != nil {
		facts = append(facts, e.Err.Error())
	}
	if e.Err == nil && e.Reason == "" && IsSuccess(e.HTTPStatus) {
		facts = append(facts, "success is false, without a reason")
	}
	if e.RetryAfter > 0 {
		facts = append(facts, "retry after "+e.RetryAfter.String())
	}
	return fmt.Sprintf("messagingSession %s: %s (RequestId %s)", e.Operation, strings.Join(facts, ", "), e.RequestID)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// RateLimited reports whether Salesforce rejected the request because there were too
// many: by status 429, or by the reason, code or message of an answer with any
// status, such as REQUEST_LIMIT_EXCEEDED with 403.
func (e *Error) RateLimited() bool {
	return e.HTTPStatus == http.StatusTooManyRequests ||
		saysRateLimited(string(e.Reason)) || saysRateLimited(e.Code) || saysRateLimited(e.Message)
}

var rateLimit = regexp.MustCompile(`(?i)(?:rate|requests?)\)?[ _]+limit[ _]+exceeded|` +
	`rate[ _]+exceeded|too[ _]+many[ _]+requests`)

func saysRateLimited(text string) bool { return rateLimit.MatchString(text) }

// LogValue returns the same facts as Error, each as an attribute.
func (e *Error) LogValue() slog.Value {
	facts := []slog.Attr{
		slog.String("operation", string(e.Operation)),
		slog.String("requestId", e.RequestID.String()),
		slog.Int("requests", e.Requests),
		slog.Int("httpStatus", e.HTTPStatus),
		slog.String("reason", string(e.Reason)),
		slog.String("code", e.Code),
		slog.String("message", e.Message),
		slog.Duration("retryAfter", e.RetryAfter),
	}
	if e.Err != nil {
		facts = append(facts, slog.String("error", e.Err.Error()))
	}
	return slog.GroupValue(facts...)
}

// codeInvalidToken is Salesforce's error code for an access token that is not valid.
const codeInvalidToken = "10004"

// tokenRejected reports whether a new access token may help. Salesforce does not
// document the status for an expired token. A 403 counts like a 401, because one
// more token request does no harm.
func (e *Error) tokenRejected() bool {
	return !e.RateLimited() && (e.tokenInvalid() || e.HTTPStatus == http.StatusForbidden)
}

// tokenInvalid reports whether the answer speaks of the token, and not only of a
// missing right.
func (e *Error) tokenInvalid() bool {
	return e.HTTPStatus == http.StatusUnauthorized || e.Code == codeInvalidToken
}

// joinedErrors is like the result of errors.Join, but its text has one line.
type joinedErrors []error

// joinErrors joins the errors that are not nil. It returns nil if all are.
func joinErrors(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	return joinedErrors(errs)
}

func (errs joinedErrors) Error() string {
	texts := make([]string, 0, len(errs))
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}

func (errs joinedErrors) Unwrap() []error { return errs }

// fieldError puts the name of a field before an error. It returns nil if err is nil.
func fieldError(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %w", name, err)
}

// errorIf returns an error with this text if the condition is true, else nil.
func errorIf(condition bool, text string) error {
	if !condition {
		return nil
	}
	return errors.New(text)
}
