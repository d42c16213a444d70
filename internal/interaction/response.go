package interaction

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
)

// Response is the result of a call that succeeded.
type Response struct {
	// RequestID is the RequestId of the HTTP request that succeeded.
	RequestID uuid.UUID
	// HTTPStatus is the status of the response, a 2xx.
	HTTPStatus int
	// Requests is the number of HTTP requests: 2 if the access token of the first
	// one was rejected, else 1.
	Requests int
}

// Limits for the size of a response, and for the parts of it that are shown.
const (
	maxBodyBytes    = 64 << 10
	maxMessageRunes = 500
	maxNameRunes    = 100
	maxRetryAfter   = time.Hour
)

// httpResponse is an HTTP response that was read.
type httpResponse struct {
	status int
	header http.Header
	body   []byte
	err    error // why body is incomplete; nil if it is complete
}

// readResponse reads the response to its end, so that the connection can be used
// again. It stops after maxBodyBytes.
func readResponse(resp *http.Response) httpResponse {
	r := httpResponse{status: resp.StatusCode, header: resp.Header}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return r // the data that follows is not a body and may have no end
	}
	body, err := decoded(resp)
	if err == nil {
		r.body, err = io.ReadAll(io.LimitReader(body, maxBodyBytes+1))
	}
	r.body = bytes.TrimPrefix(r.body, []byte("\ufeff"))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		r.err = fmt.Errorf("%w: cut off after %d bytes: %w", ErrMalformedResponse, len(r.body), err)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		r.err = fmt.Errorf("%w: %w", ErrMalformedResponse, err)
	case err != nil:
		r.err = fmt.Errorf("read the response: %w", err)
	case len(r.body) > maxBodyBytes:
		r.err = fmt.Errorf("%w: longer than %d bytes", ErrMalformedResponse, maxBodyBytes)
	}
	return r
}

// decoded returns the body without its compression. The transport asks for none, but
// a proxy may compress nevertheless.
func decoded(resp *http.Response) (io.Reader, error) {
	if !strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		return resp.Body, nil
	}
	body, err := gzip.NewReader(resp.Body)
	if errors.Is(err, io.EOF) {
		return http.NoBody, nil
	}
	return body, err
}

// succeeded reports whether the operation was done: the status is 2xx and the body
// has success:true.
func (r httpResponse) succeeded() bool {
	body, err := parseBody(r.body)
	return IsSuccess(r.status) && r.err == nil && err == nil && string(body.Success) == "true"
}

// toError returns the error of a response that did not succeed. The caller adds the
// data of the request.
func (r httpResponse) toError(redact redactor) *Error {
	body, parseErr := parseBody(r.body)
	e := &Error{
		HTTPStatus: r.status,
		Reason:     ErrorReason(redact.name(body.reason())),
		Code:       redact.name(body.code(r.status)),
		Message:    shorten(redact.text(body.message()), maxMessageRunes),
		RetryAfter: retryAfter(r.header, time.Now()),
	}
	switch {
	case e.Message == "" && isRedirect(r.status):
		e.Message = "redirects are not followed"
	case e.Message == "" && e.Code == "" && e.Reason == "" && string(body.Success) != "false":
		e.Message = shorten(redact.text(string(r.body)), maxMessageRunes)
	}
	if IsSuccess(r.status) {
		e.Err = r.malformed(body, parseErr, redact)
	}
	return e
}

// malformed returns why a response with a 2xx status cannot be used. It returns nil
// if the response is well formed.
func (r httpResponse) malformed(body responseBody, parseErr error, redact redactor) error {
	switch {
	case r.err != nil:
		return redact.error(r.err)
	case len(r.body) == 0:
		return fmt.Errorf("%w: empty body", ErrMalformedResponse)
	case parseErr != nil:
		return redact.error(fmt.Errorf("%w: %w", ErrMalformedResponse, parseErr))
	case string(body.Success) != "false":
		return fmt.Errorf("%w: field success is missing or not a boolean", ErrMalformedResponse)
	}
	return nil
}

// responseBody has the fields of all documented bodies. Salesforce's page, its
// OpenAPI file, its REST API and older releases use different names. The values are
// raw JSON, so that a value of an unexpected type does not hide the others.
type responseBody struct {
	Success         json.RawMessage `json:"success"`
	ErrorReason     json.RawMessage `json:"errorReason"`
	PageErrorReason json.RawMessage `json:"ErrorReason"`
	Code            json.RawMessage `json:"code"`
	ErrorCode       json.RawMessage `json:"errorCode"`
	Symbol          json.RawMessage `json:"symbol"`
	Error           json.RawMessage `json:"error"`
	Message         json.RawMessage `json:"message"`
}

// parseBody accepts an object. It also accepts a list of objects, as Salesforce's
// REST API answers, and returns the first one.
func parseBody(text []byte) (responseBody, error) {
	var body responseBody
	object, err := firstObject(text)
	if err == nil {
		err = json.Unmarshal(object, &body)
	}
	return body, err
}

// firstObject returns the first object of a list of objects, and any other text as
// it is.
func firstObject(text []byte) ([]byte, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		return text, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil || len(list) == 0 {
		return nil, cmp.Or(err, errors.New("an empty list"))
	}
	return list[0], nil
}

func (b responseBody) reason() string {
	return cmp.Or(scalar(b.ErrorReason), scalar(b.PageErrorReason))
}

// code returns the most specific code. A code that repeats the HTTP status says less
// than a name.
func (b responseBody) code(status int) string {
	code, name := scalar(b.Code), cmp.Or(scalar(b.ErrorCode), scalar(b.Symbol))
	if symbol := scalar(b.Error); name == "" && isSymbol(symbol) {
		name = symbol
	}
	if code == strconv.Itoa(status) {
		return cmp.Or(name, code)
	}
	return cmp.Or(code, name)
}

func (b responseBody) message() string { return scalar(b.Message) }

// isSymbol reports whether the text is a name in capitals. Frameworks also write the
// text of the HTTP status into a field "error".
func isSymbol(text string) bool { return symbol.MatchString(text) }

var symbol = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

// scalar returns the text of a JSON string or number, and "" for other values.
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

// name redacts a reason or a code. Documented reasons and numeric codes stay as they
// are, even if they contain a short personal identifier by chance.
func (r redactor) name(text string) string {
	if ErrorReason(text).Known() || isErrorCode(text) {
		return text
	}
	return shorten(r.text(text), maxNameRunes)
}

// isErrorCode reports whether the text looks like a numeric code of Salesforce, which
// has at most five digits.
func isErrorCode(text string) bool {
	_, err := strconv.ParseUint(text, 10, 64)
	return err == nil && len(text) <= 5
}

// oneLine makes one line of printable characters from a text of a server.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\uFFFD"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
}

// shorten cuts a text after maxRunes characters.
func shorten(text string, maxRunes int) string {
	runes := 0
	for i := range text {
		if runes == maxRunes {
			return text[:i] + "…"
		}
		runes++
	}
	return text
}

// retryAfter reads the header Retry-After, which has seconds or a date (RFC 9110). It
// returns 0 if the header is absent or invalid.
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

// IsSuccess reports whether an HTTP status is a 2xx.
func IsSuccess(status int) bool { return status >= 200 && status <= 299 }

// statusNoRoute is how Salesforce's edge answers while it does not know the way to
// an org.
const statusNoRoute = 420

// IsTransient reports whether an HTTP status is a fault that passes: of the server,
// of its load, or of the way to it.
func IsTransient(status int) bool {
	switch status {
	case http.StatusRequestTimeout, statusNoRoute, http.StatusMisdirectedRequest, http.StatusTooEarly,
		http.StatusTooManyRequests:
		return true
	default:
		return status >= 500
	}
}

func isRedirect(status int) bool { return status >= 300 && status <= 399 }
