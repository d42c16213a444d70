package interaction

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
)

// Response is the answer to a call that succeeded.
type Response struct {
	// RequestID is the RequestId of the HTTP request that got the answer.
	RequestID uuid.UUID
	// HTTPStatus is the status of the answer, a 2xx.
	HTTPStatus int
	// Requests is the number of HTTP requests made: 2 when the first was
	// rejected because of its access token, else 1.
	Requests int
}

// What is read of an answer, and shown of it.
const (
	maxBodyBytes    = 64 << 10
	maxMessageRunes = 500
	maxNameRunes    = 100
	maxRetryAfter   = time.Hour
)

// answer is an HTTP response that has been read.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // why body is incomplete, nil when it is complete
}

// readAnswer reads the response to its end, so that the connection can be used
// again, unless it is longer than any answer of Salesforce.
func readAnswer(resp *http.Response) answer {
	a := answer{status: resp.StatusCode, header: resp.Header}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return a // what follows is no body and may never end
	}
	a.body, a.err = io.ReadAll(io.LimitReader(resp.Body, maxBodyBytes+1))
	switch {
	case errors.Is(a.err, io.ErrUnexpectedEOF):
		a.err = fmt.Errorf("%w: cut off after %d bytes: %w", ErrMalformedResponse, len(a.body), a.err)
	case a.err != nil:
		a.err = fmt.Errorf("reading the answer: %w", a.err)
	case len(a.body) > maxBodyBytes:
		a.err = fmt.Errorf("%w: longer than %d bytes", ErrMalformedResponse, maxBodyBytes)
	}
	return a
}

// succeeded reports whether the operation was done: by a status of success and
// by the word of the body.
func (a answer) succeeded() bool {
	said, err := parseStatement(a.body)
	return isSuccess(a.status) && a.err == nil && err == nil && string(said.Success) == "true"
}

// failure says what an answer that did not succeed says. The caller adds what
// it knows of the request.
func (a answer) failure(redact redactor) *Error {
	said, parseErr := parseStatement(a.body)
	e := &Error{
		HTTPStatus: a.status,
		Reason:     ErrorReason(redact.name(said.reason())),
		Code:       redact.name(said.code()),
		Message:    oneShortLine(redact.text(said.message()), maxMessageRunes),
		RetryAfter: retryAfter(a.header, time.Now()),
	}
	switch {
	case e.Message == "" && isRedirect(a.status):
		e.Message = "redirects are not followed"
	case e.Message == "" && e.Code == "" && e.Reason == "" && string(said.Success) != "false":
		e.Message = oneShortLine(redact.text(string(a.body)), maxMessageRunes)
	}
	if isSuccess(a.status) {
		e.Err = a.unreadable(said, parseErr, redact)
	}
	return e
}

// unreadable says why a 2xx cannot be understood, nil when it can.
func (a answer) unreadable(said statement, parseErr error, redact redactor) error {
	switch {
	case a.err != nil:
		return redact.error(a.err)
	case len(a.body) == 0:
		return fmt.Errorf("%w: empty body", ErrMalformedResponse)
	case parseErr != nil:
		return redact.error(fmt.Errorf("%w: %w", ErrMalformedResponse, parseErr))
	case string(said.Success) != "false":
		return fmt.Errorf("%w: field success is missing or no boolean", ErrMalformedResponse)
	}
	return nil
}

// statement is the union of the documented bodies, with the spellings that
// differ between Salesforce's page, its OpenAPI file and older releases. What
// is missing or of another type than expected must not hide the rest.
type statement struct {
	Success         json.RawMessage `json:"success"`
	ErrorReason     json.RawMessage `json:"errorReason"`
	PageErrorReason json.RawMessage `json:"ErrorReason"`
	Code            json.RawMessage `json:"code"`
	ErrorCode       json.RawMessage `json:"errorCode"`
	Message         json.RawMessage `json:"message"`
}

// parseStatement accepts an object, and a list of them like those of
// Salesforce's REST API, of which the first counts.
func parseStatement(body []byte) (statement, error) {
	var one statement
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		err := json.Unmarshal(body, &one)
		return one, err
	}
	var list []statement
	if err := json.Unmarshal(body, &list); err != nil || len(list) == 0 {
		return one, cmp.Or(err, errors.New("an empty list"))
	}
	return list[0], nil
}

func (s statement) reason() string {
	return cmp.Or(scalar(s.ErrorReason), scalar(s.PageErrorReason))
}
func (s statement) code() string    { return cmp.Or(scalar(s.Code), scalar(s.ErrorCode)) }
func (s statement) message() string { return scalar(s.Message) }

// scalar is the text of a JSON string or number, empty for anything else.
func scalar(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	var number json.Number
	if json.Unmarshal(value, &number) == nil {
		return number.String()
	}
	return ""
}

// name redacts an enum's name or a code. The documented ones pass unchanged,
// even where a short personal identifier happens to be a part of them.
func (r redactor) name(text string) string {
	if ErrorReason(text).Known() || isErrorCode(text) {
		return text
	}
	return oneShortLine(r.text(text), maxNameRunes)
}

// isErrorCode reports whether the text has the form of Salesforce's numeric
// codes, which have up to five digits.
func isErrorCode(text string) bool {
	_, err := strconv.ParseUint(text, 10, 64)
	return err == nil && len(text) <= 5
}

// oneShortLine makes text from elsewhere fit to be shown in one line.
func oneShortLine(text string, maxRunes int) string {
	line := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\uFFFD"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	runes := 0
	for i := range line {
		if runes == maxRunes {
			return line[:i] + "…"
		}
		runes++
	}
	return line
}

// retryAfter reads the header's two forms, seconds and a date (RFC 9110), and
// returns 0 when there is none or it makes no sense.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	seconds, err := strconv.ParseUint(value, 10, 64)
	switch {
	case err == nil && seconds < uint64(maxRetryAfter/time.Second):
		return time.Duration(seconds) * time.Second
	case err == nil, errors.Is(err, strconv.ErrRange):
		return maxRetryAfter
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), maxRetryAfter)
}

func isSuccess(status int) bool  { return status >= 200 && status <= 299 }
func isRedirect(status int) bool { return status >= 300 && status <= 399 }
