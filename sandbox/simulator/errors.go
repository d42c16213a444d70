package simulator

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Errors of the methods of a Simulator.
var (
	ErrOrgNotFound          = errors.New("no such org")
	ErrConversationNotFound = errors.New("no such conversation")
	ErrChannelNotFound      = errors.New("no such channel address")
	ErrInvalid              = errors.New("invalid")
)

// Cause is why a request fails. A Cause in capitals is an ErrorReason of
// Salesforce; the others are ours and stand for a broken rule.
type Cause string

// The causes that have a default Answer. A Fault may answer with any
// ErrorReason, also with one that is not listed here.
const (
	UnknownPath          Cause = "unknownPath"
	MethodNotAllowed     Cause = "methodNotAllowed"
	InvalidToken         Cause = "invalidToken"
	RateLimited          Cause = "rateLimited"
	InvalidHeader        Cause = "invalidHeader"
	OrgMismatch          Cause = "orgMismatch"
	UnsupportedMediaType Cause = "unsupportedMediaType"
	BodyTooLarge         Cause = "bodyTooLarge"
	InvalidBody          Cause = "invalidBody"
	MissingField         Cause = "missingField"
	InvalidField         Cause = "invalidField"
	SessionIDRequired    Cause = "sessionIdRequired"

	OrgNotFound                Cause = "ORG_NOT_FOUND"
	PermissionDenied           Cause = "PERMISSION_DENIED"
	ChannelAddressNotFound     Cause = "CHANNEL_ADDRESS_NOT_FOUND"
	ChannelAddressInactive     Cause = "CHANNEL_ADDRESS_IS_INACTIVE"
	EndUserNotFound            Cause = "END_USER_NOT_FOUND"
	ActiveConversationNotFound Cause = "ACTIVE_CONVERSATION_NOT_FOUND"
	SessionNotFound            Cause = "SESSION_NOT_FOUND"
)

// Answer is the response to a request that fails. It is one of two kinds: a
// business failure (ErrorReason; a 2xx response with success:false), or an HTTP
// error with a code and a message. On the token endpoint, Symbol is the OAuth
// error and Message is its description.
type Answer struct {
	// ErrorReason makes the answer a business failure. Any name is accepted,
	// because Salesforce has added names before.
	ErrorReason string `json:"errorReason,omitempty" yaml:"errorReason"`
	// Status is the HTTP status. 0 means 200 with an ErrorReason; else the
	// default status of Code; else 400.
	Status int `json:"status,omitempty" yaml:"status"`
	// Code is the numeric code; 0 means the HTTP status.
	Code int `json:"code,omitempty" yaml:"code"`
	// Symbol is the name of the code. It is sent instead of Code if Code is 0,
	// or with Behaviour.SymbolicCodes.
	Symbol string `json:"symbol,omitempty" yaml:"symbol"`
	// Message may contain {orgId}, {channelAddressIdentifier},
	// {endUserClientId}, {conversationIdentifier} and {sessionId}. They are
	// replaced with the request's values, as Salesforce's messages sometimes
	// repeat them. The default message repeats the endUserClientId, so that a
	// test finds a client that logs it.
	Message string `json:"message,omitempty" yaml:"message"`
	// RetryAfter is the value of the Retry-After header, rounded up to whole
	// seconds; 0 means no header.
	RetryAfter Duration `json:"retryAfter,omitempty" yaml:"retryAfter"`
	// RetryAfterDate sends the header as an HTTP date.
	RetryAfterDate bool `json:"retryAfterDate,omitempty" yaml:"retryAfterDate"`
}

func (a Answer) validate() error {
	switch {
	case a == Answer{}:
		return errors.New("errorReason: missing; one of errorReason, status, code and symbol is required")
	case a.Status != 0 && (a.Status < 200 || a.Status > 599):
		return fmt.Errorf("status: %d is not within 200 to 599", a.Status)
	case a.ErrorReason != "" && a.Status > 299:
		return fmt.Errorf("status: %d with an errorReason, which requires a 2xx status", a.Status)
	case a.ErrorReason != "" && (a.Code != 0 || a.Symbol != "" || a.Message != ""):
		return errors.New("errorReason: cannot be combined with code, symbol or message")
	case a.ErrorReason == "" && a.Status == 0 && a.Code == 0 && a.Symbol == "":
		return errors.New("status: missing; one of status, code and symbol is required")
	case a.Code < 0:
		return errors.New("code: must not be negative")
	case a.RetryAfter < 0:
		return errors.New("retryAfter: must not be negative")
	case a.RetryAfterDate && a.RetryAfter == 0:
		return errors.New("retryAfterDate: requires retryAfter")
	}
	return nil
}

func (a Answer) withDefaults() Answer {
	if a.ErrorReason != "" {
		if a.Status == 0 {
			a.Status = http.StatusOK
		}
		return a
	}
	known := defaultAnswerOfCode(a.Code)
	if a.Status == 0 {
		a.Status = known.Status
	}
	if a.Status == 0 {
		a.Status = http.StatusBadRequest
	}
	if a.Code == 0 && a.Symbol == "" {
		a.Code = a.Status
		known = defaultAnswerOfCode(a.Code)
	}
	if a.Symbol == "" {
		a.Symbol = known.Symbol
	}
	if a.Message == "" {
		a.Message = known.Message
	}
	if a.Message == "" {
		a.Message = http.StatusText(a.Status) + " (endUserClientId {endUserClientId})"
	}
	return a
}

func (a Answer) oauthErrorName() string {
	if a.Symbol == "" {
		return "unknown_error"
	}
	return a.Symbol
}

func (a Answer) retryAfterHeader(now time.Time) string {
	wait := time.Duration(a.RetryAfter)
	switch {
	case wait == 0:
		return ""
	case a.RetryAfterDate:
		// An HTTP date has whole seconds. Rounded up, so that the client does
		// not come early.
		return now.Add(wait + time.Second - 1).UTC().Format(http.TimeFormat)
	}
	return strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)
}

// defaultAnswers are the answers to each cause, unless Behaviour.Answers
// replaces them. Documented are the codes 10004, 10106 and those of the
// ErrorReasons, except ORG_NOT_FOUND and ACTIVE_CONVERSATION_NOT_FOUND. Inferred
// are the HTTP statuses, the texts and the other codes. The status and code of
// an ErrorReason apply with Behaviour.FailuresAsCodes.
var defaultAnswers = map[Cause]Answer{
	UnknownPath: httpError(http.StatusNotFound, http.StatusNotFound, "NOT_FOUND",
		"The requested resource does not exist"),
	MethodNotAllowed: httpError(http.StatusMethodNotAllowed, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED",
		"HTTP method not allowed"),
	InvalidToken: httpError(http.StatusUnauthorized, 10004, "UNAUTHORIZED",
		"Access token is invalid or expired"),
	RateLimited: httpError(http.StatusTooManyRequests, http.StatusTooManyRequests, "RATE_LIMIT_EXCEEDED",
		"Interaction request rate limit exceeded"),
	InvalidHeader: httpError(http.StatusBadRequest, 10102, "INVALID_HEADER",
		"Invalid or missing request header"),
	OrgMismatch: httpError(http.StatusForbidden, 10003, "FORBIDDEN",
		"OrgId {orgId} does not belong to the access token"),
	UnsupportedMediaType: httpError(http.StatusUnsupportedMediaType, http.StatusUnsupportedMediaType,
		"UNSUPPORTED_MEDIA_TYPE", "Content-Type must be application/json"),
	BodyTooLarge: httpError(http.StatusRequestEntityTooLarge, http.StatusRequestEntityTooLarge, "REQUEST_TOO_LARGE",
		"Request body is too large"),
	InvalidBody: httpError(http.StatusBadRequest, 10102, "INVALID_REQUEST",
		"Request body is invalid"),
	MissingField: httpError(http.StatusBadRequest, 10102, "MISSING_FIELD",
		"A required field is missing (endUserClientId {endUserClientId})"),
	InvalidField: httpError(http.StatusBadRequest, 10103, "INVALID_FIELD",
		"A field has an invalid value (endUserClientId {endUserClientId})"),
	SessionIDRequired: httpError(http.StatusBadRequest, 10106, "SESSION_ID_REQUIRED",
		"sessionId is required to inactivate the session of {endUserClientId}"),

	OrgNotFound: businessFailure(OrgNotFound, http.StatusForbidden, 10001,
		"Org {orgId} was not found"),
	PermissionDenied: businessFailure(PermissionDenied, http.StatusForbidden, 10099,
		"Permission denied for end user {endUserClientId}"),
	ChannelAddressNotFound: businessFailure(ChannelAddressNotFound, http.StatusNotFound, 10017,
		"Channel address {channelAddressIdentifier} of end user {endUserClientId} was not found"),
	ChannelAddressInactive: businessFailure(ChannelAddressInactive, http.StatusBadRequest, 10031,
		"Channel address {channelAddressIdentifier} of end user {endUserClientId} is inactive"),
	EndUserNotFound: businessFailure(EndUserNotFound, http.StatusNotFound, 10105,
		"End user {endUserClientId} was not found"),
	ActiveConversationNotFound: businessFailure(ActiveConversationNotFound, http.StatusNotFound, 10025,
		"No active conversation {conversationIdentifier} with end user {endUserClientId}"),
	SessionNotFound: businessFailure(SessionNotFound, http.StatusNotFound, 10071,
		"Session {sessionId} of end user {endUserClientId} was not found"),

	// The simulator answers with these only if Behaviour or a Fault says so.
	"CONVERSATION_PRECONDITION_FAILED": businessFailure("CONVERSATION_PRECONDITION_FAILED",
		http.StatusPreconditionFailed, 10055, "Conversation with {endUserClientId} failed a precondition. Please retry"),
	"CONVERSATION_PROCESSING_ABORTED": businessFailure("CONVERSATION_PROCESSING_ABORTED",
		http.StatusConflict, 10056, "Processing of the conversation with {endUserClientId} was aborted. Please retry"),
	"CUSTOMER_ERROR": businessFailure("CUSTOMER_ERROR", http.StatusBadRequest, 10058,
		"Customer Error occurred for {endUserClientId}"),
	"NO_ACCESS": businessFailure("NO_ACCESS", http.StatusForbidden, 10104,
		"No access to end user {endUserClientId}"),
}

func httpError(status, code int, symbol, message string) Answer {
	return Answer{Status: status, Code: code, Symbol: symbol, Message: message}
}

func businessFailure(reason Cause, status, code int, message string) Answer {
	return Answer{ErrorReason: string(reason), Status: status, Code: code, Symbol: string(reason), Message: message}
}

// codeStatuses are the inferred HTTP statuses of codes that have no cause.
var codeStatuses = map[int]int{
	500: http.StatusInternalServerError, 10019: http.StatusServiceUnavailable, 10094: http.StatusGatewayTimeout,
	10001: http.StatusForbidden, 10003: http.StatusForbidden, 10005: http.StatusForbidden,
	10016: http.StatusForbidden, 10093: http.StatusForbidden, 15102: http.StatusForbidden, 15105: http.StatusForbidden,
}

// ambiguousCodes belong to several causes, so they have no default symbol and
// message.
var ambiguousCodes = map[int]bool{10102: true}

func defaultAnswerOfCode(code int) Answer {
	if status, set := codeStatuses[code]; set {
		return Answer{Status: status}
	}
	if code == 0 || ambiguousCodes[code] {
		return Answer{}
	}
	for _, a := range defaultAnswers {
		if a.Code == code {
			return a
		}
	}
	return Answer{}
}
