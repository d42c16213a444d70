package activities

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sessionkeeper/internal/interaction"
)

// Verdict is what to do with a failed call.
type Verdict string

// The verdicts.
const (
	// Retry backs off and tries again while the operation still makes sense.
	Retry Verdict = "retry"
	// Capped tries again a bounded number of times, then gives it to an operator.
	Capped Verdict = "capped"
	// Done takes the goal for reached.
	Done Verdict = "done"
	// Operator does not retry: a person has to remove the cause.
	Operator Verdict = "operator"
)

// Names for failures to which Salesforce gives no errorReason. Like
// errorReasons they become the type of the activity's error.
const (
	ReasonNetwork          = "NETWORK_ERROR"
	ReasonTimeout          = "TIMEOUT"
	ReasonRateLimited      = "RATE_LIMIT_EXCEEDED"
	ReasonOrgMigration     = "ORG_MIGRATION_IN_PROGRESS"
	ReasonUnauthorized     = "UNAUTHORIZED"
	ReasonForbidden        = "FORBIDDEN"
	ReasonInvalidResponse  = "INVALID_RESPONSE"
	ReasonInvalidRequest   = "INVALID_REQUEST"
	ReasonInvalidConv      = "CONVERSATION_IDENTIFIER_NOT_VALID"
	ReasonInvalidSession   = "SESSION_ID_NOT_VALID"
	ReasonSessionIDMissing = "SESSION_ID_MISSING"
	ReasonOrgNotConfigured = "ORG_NOT_CONFIGURED"
	ReasonUnknown          = "UNKNOWN"
)

// Decision is what to do with one failure, and how.
type Decision struct {
	Verdict Verdict
	// Reason names the failure: Salesforce's errorReason where there is one.
	Reason string
	// Tries bounds the attempts that may fail this way when Capped.
	Tries int
	// Spacing is the delay before the next attempt; 0 leaves it to the
	// activity's backoff.
	Spacing time.Duration
	// Hint tells the operator what to look at.
	Hint string
}

const hintUnauthorized = "A new access token was refused too: check the connected app and its user."

// cappedTries is how often a call that may never succeed is tried.
const cappedTries = 5

// Of the first two Salesforce says "Please retry"; the other verdicts are
// inferred. Inactivate and End are decided alike.
var byReason = map[interaction.ErrorReason]Decision{
	interaction.ReasonConversationPreconditionFailed: {Verdict: Retry},
	interaction.ReasonConversationProcessingAborted:  {Verdict: Retry},
	interaction.ReasonInternalError:                  {Verdict: Retry},
	interaction.ReasonEndSessionFailed: {
		Verdict: Capped, Tries: cappedTries,
		Hint: "The session could not be written: look for a flow, trigger or validation rule on MessagingSession that does not let it through.",
	},
	interaction.ReasonCustomerError: {
		Verdict: Capped, Tries: 3, Spacing: 30 * time.Second,
		Hint: "Likely the org's own automation or configuration failed: look at its flows and triggers on MessagingSession.",
	},
	interaction.ReasonActiveConversationNotFound: {Verdict: Done},
	interaction.ReasonSessionNotFound:            {Verdict: Done},
	interaction.ReasonEndUserNotFound:            {Verdict: Operator, Hint: "The org does not know this endUserClientId: correct it with a new start event."},
	interaction.ReasonChannelAddressNotFound: {
		Verdict: Operator,
		Hint:    "Check the channel in the org, whose ids differ between sandbox and production, or correct channelAddressIdentifier with a new start event.",
	},
	interaction.ReasonChannelAddressIsInactive: {Verdict: Operator, Hint: "An admin can activate the messaging channel in Setup; then retry."},
	interaction.ReasonOrgNotFound:              {Verdict: Operator, Hint: "Check that orgId, API base URL and credentials belong to the same org."},
	interaction.ReasonPermissionDenied:         {Verdict: Operator, Hint: "Check the integration user's permissions (Partner Messaging) and that Contact Center as a Service is on; then retry."},
	interaction.ReasonNoAccess:                 {Verdict: Operator, Hint: "Give the integration user access to the MessagingSession record; then retry."},
}

// byCode holds the numeric codes that say more than their HTTP status. Which
// status comes with which code is not documented, so the code decides. A code
// that calls an identifier not valid is never taken for "not found": a wrong
// identifier must not pass for success.
var byCode = map[string]Decision{
	"500":   {Verdict: Retry, Reason: string(interaction.ReasonInternalError)},
	"10001": {Verdict: Operator, Reason: ReasonForbidden, Hint: "The authorizationContext does not belong to this channelAddressIdentifier: correct either with a new start event."},
	"10003": {Verdict: Operator, Reason: ReasonForbidden, Hint: "Add the scope interaction_api to the connected app; then retry."},
	"10004": {Verdict: Operator, Reason: ReasonUnauthorized, Hint: hintUnauthorized},
	"10005": {Verdict: Operator, Reason: ReasonForbidden, Hint: "The authorizationContext does not belong to this connected app: check the channel definition, or correct it with a new start event."},
	"10016": {Verdict: Operator, Reason: ReasonForbidden, Hint: "Check orgId and authorizationContext, which are sent as headers."},
	"10017": as(interaction.ReasonChannelAddressNotFound),
	"10018": {Verdict: Operator, Reason: ReasonInvalidConv, Hint: "Check conversationIdentifier: it is the conversation's name here too, so a wrong one needs a new conversation."},
	"10019": {Verdict: Retry, Reason: ReasonOrgMigration},
	"10020": as(interaction.ReasonEndUserNotFound),
	"10025": as(interaction.ReasonActiveConversationNotFound),
	"10026": as(interaction.ReasonChannelAddressNotFound),
	"10031": as(interaction.ReasonChannelAddressIsInactive),
	"10035": as(interaction.ReasonChannelAddressNotFound),
	"10055": as(interaction.ReasonConversationPreconditionFailed),
	"10056": as(interaction.ReasonConversationProcessingAborted),
	"10058": as(interaction.ReasonCustomerError),
	"10071": as(interaction.ReasonSessionNotFound),
	"10072": {Verdict: Operator, Reason: ReasonInvalidSession, Hint: "Send a start with the right sessionId, then the close again if it was one."},
	"10093": {Verdict: Operator, Reason: ReasonForbidden, Hint: "Check the type of the ConversationChannelDefinition that authorizationContext names."},
	"10094": {Verdict: Retry, Reason: ReasonTimeout},
	"10099": as(interaction.ReasonPermissionDenied),
	"10102": {Verdict: Operator, Reason: ReasonInvalidRequest, Hint: "This is a bug of sessionkeeper: please report it."},
	"10103": {Verdict: Operator, Reason: ReasonInvalidRequest, Hint: "This is a bug of sessionkeeper: please report it."},
	"10104": as(interaction.ReasonNoAccess),
	"10105": as(interaction.ReasonEndUserNotFound),
	"10106": {Verdict: Operator, Reason: ReasonSessionIDMissing, Hint: "Inactivate needs the sessionId: send it with the next start or message event."},
	"15102": as(interaction.ReasonPermissionDenied),
	"15105": as(interaction.ReasonPermissionDenied),
}

func as(reason interaction.ErrorReason) Decision {
	d := byReason[reason]
	d.Reason = string(reason)
	return d
}

// Decide says what to do with a failed call. The order is from the most to the
// least specific thing that Salesforce may have said.
func Decide(err error) Decision {
	refused, ok := errors.AsType[*interaction.Error](err)
	if !ok || errors.Is(err, interaction.ErrInvalidRequest) {
		return decideUnsent(err)
	}
	if token, ok := errors.AsType[*interaction.TokenError](err); ok {
		return decideToken(token)
	}
	if refused.RateLimited() {
		return Decision{Verdict: Retry, Reason: ReasonRateLimited}
	}
	if refused.Reason != "" {
		return decideReason(refused.Reason)
	}
	if d, known := byCode[refused.Code]; known {
		return d
	}
	if symbolic := interaction.ErrorReason(refused.Code); symbolic.Known() {
		return decideReason(symbolic)
	}
	return decideTransport(refused)
}

// decideReason treats the enum as open: it has grown once already.
func decideReason(reason interaction.ErrorReason) Decision {
	if !reason.Known() {
		return Decision{
			Verdict: Capped, Tries: cappedTries, Reason: string(reason),
			Hint: "This version does not know the errorReason: look it up in Salesforce's reference.",
		}
	}
	return as(reason)
}

func decideTransport(refused *interaction.Error) Decision {
	status := refused.HTTPStatus
	switch {
	case errors.Is(refused, interaction.ErrMalformedResponse):
		return Decision{
			Verdict: Capped, Tries: cappedTries, Reason: ReasonInvalidResponse,
			Hint: "This is not how the API answers: check the API base URL and the proxies on the way.",
		}
	case refused.Err != nil && timedOut(refused):
		return Decision{Verdict: Retry, Reason: ReasonTimeout}
	case refused.Err != nil:
		return Decision{Verdict: Retry, Reason: ReasonNetwork}
	case isSuccess(status):
		return Decision{Verdict: Capped, Tries: cappedTries, Reason: ReasonUnknown, Hint: "Ask Salesforce with the RequestId of the details."}
	case transient(status):
		return Decision{Verdict: Retry, Reason: httpReason(status)}
	case status == http.StatusUnauthorized:
		return Decision{Verdict: Operator, Reason: ReasonUnauthorized, Hint: hintUnauthorized}
	case status == http.StatusForbidden:
		return Decision{Verdict: Operator, Reason: ReasonForbidden, Hint: "Check the connected app's scope interaction_api and the integration user's permissions."}
	default:
		return Decision{Verdict: Operator, Reason: httpReason(status), Hint: "Check the API base URL and the conversation's identity."}
	}
}

func decideToken(token *interaction.TokenError) Decision {
	switch {
	case errors.Is(token, interaction.ErrMalformedResponse):
		return Decision{
			Verdict: Capped, Tries: cappedTries, Reason: tokenReason(ReasonInvalidResponse),
			Hint: "This is not how a token endpoint answers: check the token URL.",
		}
	case token.Err != nil && timedOut(token):
		return Decision{Verdict: Retry, Reason: tokenReason(ReasonTimeout)}
	case token.Err != nil:
		return Decision{Verdict: Retry, Reason: tokenReason(ReasonNetwork)}
	case transient(token.HTTPStatus):
		return Decision{Verdict: Retry, Reason: tokenReason(httpReason(token.HTTPStatus))}
	case token.Code != "":
		return Decision{
			Verdict: Operator, Reason: tokenReason(strings.ToUpper(token.Code)),
			Hint: "Check the consumer key, the user name, the key or secret, and the connected app's policies.",
		}
	default:
		return Decision{Verdict: Operator, Reason: tokenReason(httpReason(token.HTTPStatus)), Hint: "Check the token URL."}
	}
}

// decideUnsent is for a call that never became a request, and for an [API] that
// fails in its own way.
func decideUnsent(err error) Decision {
	switch {
	case errors.Is(err, errOrgNotConfigured):
		return Decision{Verdict: Operator, Reason: ReasonOrgNotConfigured, Hint: "Add it and restart the worker; then retry."}
	case errors.Is(err, interaction.ErrInvalidRequest):
		return Decision{Verdict: Operator, Reason: ReasonInvalidRequest, Hint: "Correct it with a new start event."}
	default:
		return Decision{Verdict: Capped, Tries: cappedTries, Reason: ReasonUnknown}
	}
}

func timedOut(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

func isSuccess(status int) bool { return status >= 200 && status <= 299 }

func transient(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

func httpReason(status int) string { return "HTTP_" + strconv.Itoa(status) }

func tokenReason(reason string) string { return "TOKEN_" + reason }
