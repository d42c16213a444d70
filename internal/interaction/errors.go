package interaction

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// ErrMalformedResponse is wrapped by the error of an answer with a status of
// success whose body is not what was promised: empty, cut off, too long, no
// JSON, or without the field that matters.
var ErrMalformedResponse = errors.New("malformed response")

// Error is what every failed [Client.MessagingSession] returns.
//
// Exactly one of these is true:
//   - Err is nil: a complete answer arrived and it was a failure. HTTPStatus,
//     Reason, Code and Message hold what it said; a 2xx status means that the
//     body said success:false.
//   - Err is not nil: there is no usable answer. Err wraps [ErrInvalidRequest],
//     a [*TokenError], [ErrMalformedResponse], or the error of the network or
//     the context.
type Error struct {
	// Operation is the operation of the request.
	Operation Operation
	// Reason is Salesforce's errorReason, empty when it gave none.
	Reason ErrorReason
	// HTTPStatus is the status of the answer, 0 when there was none.
	HTTPStatus int
	// Code is Salesforce's error code as text, numeric ("10071") or symbolic,
	// empty when it gave none.
	Code string
	// Message is Salesforce's message, or the beginning of a body that has
	// another form, in one line of at most 500 characters.
	Message string
	// RetryAfter is the wait that the answer asked for, at most an hour, 0 when
	// it asked for none.
	RetryAfter time.Duration
	// RequestID is the RequestId of the last HTTP request of the call.
	RequestID uuid.UUID
	// Requests is the number of HTTP requests made to the Interaction Service.
	Requests int
	// NotSent says that the call failed before a request that could have been
	// acted on left this process: it was invalid, there was no access token, or
	// no connection.
	NotSent bool
	// Err is why there is no usable answer, nil when there is one.
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
	if e.Err == nil && e.Reason == "" && isSuccess(e.HTTPStatus) {
		facts = append(facts, "success is false and no reason was given")
	}
	if e.RetryAfter > 0 {
		facts = append(facts, "retry after "+e.RetryAfter.String())
	}
	return fmt.Sprintf("messagingSession %s: %s (RequestId %s)", e.Operation, strings.Join(facts, ", "), e.RequestID)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// OutcomeUnknown reports whether Salesforce may have acted on the request all
// the same, so that the next attempt may find the work done: the connection
// failed or timed out after it had been made, the answer was a gateway's or a
// server's failure, or it was a success that cannot be read.
func (e *Error) OutcomeUnknown() bool {
	switch {
	case e.NotSent, e.RateLimited():
		return false
	case isSuccess(e.HTTPStatus):
		return e.Err != nil
	case e.HTTPStatus == 0, e.HTTPStatus == http.StatusRequestTimeout, e.HTTPStatus >= 500:
		return true
	default:
		return e.Code == codeDownstreamTimeout
	}
}

// RateLimited reports whether the answer says that too many requests were
// made: by status 429, or by Salesforce's message "Interaction request rate
// limit exceeded" under any status.
func (e *Error) RateLimited() bool {
	return e.HTTPStatus == http.StatusTooManyRequests ||
		strings.Contains(strings.ToLower(e.Message), "rate limit exceeded")
}

// LogValue shows the same facts as Error, one by one.
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
		slog.Bool("outcomeUnknown", e.OutcomeUnknown()),
	}
	if e.Err != nil {
		facts = append(facts, slog.String("error", e.Err.Error()))
	}
	return slog.GroupValue(facts...)
}

// Codes of Salesforce's list that this package acts on.
const (
	codeInvalidToken      = "10004"
	codeDownstreamTimeout = "10094"
)

// tokenRejected reports whether a fresh access token may change the answer.
// Salesforce documents no status for a token that has expired; a 403 is
// treated like a 401, as one refresh does no harm.
func (e *Error) tokenRejected() bool {
	return e.HTTPStatus == http.StatusUnauthorized || e.HTTPStatus == http.StatusForbidden || e.Code == codeInvalidToken
}

// oneLine is several errors with their texts in one line.
type oneLine []error

// inOneLine joins the errors that are not nil. It returns nil without any.
func inOneLine(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	return oneLine(errs)
}

func (errs oneLine) Error() string {
	texts := make([]string, 0, len(errs))
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}

func (errs oneLine) Unwrap() []error { return errs }

// fieldError is what is wrong with the field of that name, nil when err is.
func fieldError(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %w", name, err)
}

// errorIf is an error with that text if something is wrong, else nil.
func errorIf(wrong bool, text string) error {
	if !wrong {
		return nil
	}
	return errors.New(text)
}
