package simulator

import "net/http"

// Cause is why a request of the Interaction Service is turned down. Those in
// capitals are ErrorReasons, the others break a rule of the request's form.
type Cause string

// Causes of the simulator's own answers. Every ErrorReason can be injected by a
// Fault, these and others.
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

// defaultAnswers holds the answers to causes. Documented are the codes 10004,
// 10106 and those of the ErrorReasons, except ORG_NOT_FOUND and
// ACTIVE_CONVERSATION_NOT_FOUND; the HTTP statuses, the texts and the other
// codes are inferred. An ErrorReason's status and code are for
// Behaviour.FailuresAsCodes.
var defaultAnswers = map[Cause]Answer{
	UnknownPath:          {Status: http.StatusNotFound, Code: http.StatusNotFound, Symbol: "NOT_FOUND", Message: "The requested resource does not exist"},
	MethodNotAllowed:     {Status: http.StatusMethodNotAllowed, Code: http.StatusMethodNotAllowed, Symbol: "METHOD_NOT_ALLOWED", Message: "HTTP method not allowed"},
	InvalidToken:         {Status: http.StatusUnauthorized, Code: 10004, Symbol: "UNAUTHORIZED", Message: "Access token is invalid or expired"},
	RateLimited:          {Status: http.StatusTooManyRequests, Code: http.StatusTooManyRequests, Symbol: "RATE_LIMIT_EXCEEDED", Message: "Interaction request rate limit exceeded"},
	InvalidHeader:        {Status: http.StatusBadRequest, Code: 10102, Symbol: "INVALID_HEADER", Message: "Invalid or missing request header"},
	OrgMismatch:          {Status: http.StatusForbidden, Code: 10003, Symbol: "FORBIDDEN", Message: "OrgId {orgId} does not belong to the access token"},
	UnsupportedMediaType: {Status: http.StatusUnsupportedMediaType, Code: http.StatusUnsupportedMediaType, Symbol: "UNSUPPORTED_MEDIA_TYPE", Message: "Content-Type must be application/json"},
	BodyTooLarge:         {Status: http.StatusRequestEntityTooLarge, Code: http.StatusRequestEntityTooLarge, Symbol: "REQUEST_TOO_LARGE", Message: "Request body is too large"},
	InvalidBody:          {Status: http.StatusBadRequest, Code: 10102, Symbol: "INVALID_REQUEST", Message: "Request body is invalid"},
	MissingField:         {Status: http.StatusBadRequest, Code: 10102, Symbol: "MISSING_FIELD", Message: "A required field is missing (endUserClientId {endUserClientId})"},
	InvalidField:         {Status: http.StatusBadRequest, Code: 10103, Symbol: "INVALID_FIELD", Message: "A field has an invalid value (endUserClientId {endUserClientId})"},
	SessionIDRequired:    {Status: http.StatusBadRequest, Code: 10106, Symbol: "SESSION_ID_REQUIRED", Message: "sessionId is required to inactivate the session of {endUserClientId}"},

	OrgNotFound:                businessFailure(OrgNotFound, http.StatusForbidden, 10001, "Org {orgId} was not found"),
	PermissionDenied:           businessFailure(PermissionDenied, http.StatusForbidden, 10099, "Permission denied for end user {endUserClientId}"),
	ChannelAddressNotFound:     businessFailure(ChannelAddressNotFound, http.StatusNotFound, 10017, "Channel address {channelAddressIdentifier} of end user {endUserClientId} was not found"),
	ChannelAddressInactive:     businessFailure(ChannelAddressInactive, http.StatusBadRequest, 10031, "Channel address {channelAddressIdentifier} of end user {endUserClientId} is inactive"),
	EndUserNotFound:            businessFailure(EndUserNotFound, http.StatusNotFound, 10105, "End user {endUserClientId} was not found"),
	ActiveConversationNotFound: businessFailure(ActiveConversationNotFound, http.StatusNotFound, 10072, "No active conversation {conversationIdentifier} with end user {endUserClientId}"),
	SessionNotFound:            businessFailure(SessionNotFound, http.StatusNotFound, 10071, "Session {sessionId} of end user {endUserClientId} was not found"),

	"CONVERSATION_PRECONDITION_FAILED": businessFailure("CONVERSATION_PRECONDITION_FAILED", http.StatusPreconditionFailed, 10055, "Conversation with {endUserClientId} failed a precondition. Please retry"),
	"CONVERSATION_PROCESSING_ABORTED":  businessFailure("CONVERSATION_PROCESSING_ABORTED", http.StatusConflict, 10056, "Processing of the conversation with {endUserClientId} was aborted. Please retry"),
	"CUSTOMER_ERROR":                   businessFailure("CUSTOMER_ERROR", http.StatusBadRequest, 10058, "Customer Error occurred for {endUserClientId}"),
	"NO_ACCESS":                        businessFailure("NO_ACCESS", http.StatusForbidden, 10104, "No access to end user {endUserClientId}"),
}

func businessFailure(reason Cause, status, code int, message string) Answer {
	return Answer{ErrorReason: string(reason), Status: status, Code: code, Symbol: string(reason), Message: message}
}

// codeStatuses are the inferred HTTP statuses of codes that no cause of ours
// carries.
var codeStatuses = map[int]int{
	500: http.StatusInternalServerError, 10019: http.StatusServiceUnavailable, 10094: http.StatusGatewayTimeout,
	10001: http.StatusForbidden, 10003: http.StatusForbidden, 10005: http.StatusForbidden,
	10016: http.StatusForbidden, 10093: http.StatusForbidden, 15102: http.StatusForbidden, 15105: http.StatusForbidden,
}

// ambiguousCodes stand for several causes, so they bring no text of their own.
var ambiguousCodes = map[int]bool{10102: true}

func answerWithCode(code int) Answer {
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
