package activities

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sessionkeeper/internal/gate"
	"sessionkeeper/internal/interaction"
)

// Verdict is what to do with a failed call.
type Verdict string

// The verdicts.
const (
	// Retry tries again with backoff, for as long as the call is due. If the failure is one
	// of the call, not of the whole org, it becomes Operator after some days.
	Retry Verdict = "retry"
	// Capped tries again a limited number of times, then becomes Operator.
	Capped Verdict = "capped"
	// Done counts the goal of the call as reached.
	Done Verdict = "done"
	// Operator does not try again: an operator has to remove the cause.
	Operator Verdict = "operator"
)

// Reasons of our own, for failures without an errorReason. Like an errorReason,
// they become the type of the activity's error.
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
	ReasonForeignWorkflow  = "FOREIGN_WORKFLOW"
	ReasonInterrupted      = "INTERRUPTED"
	ReasonUnknown          = "UNKNOWN"
)

// Decision says what to do with one failure.
type Decision struct {
	Verdict Verdict
	// Reason names the failure. It is Salesforce's errorReason if there is one.
	Reason string
	// Tries is the number of attempts that may fail this way. Only for Capped.
	Tries int
	// Spacing is the least delay before the next attempt. With 0, only the
	// activity's backoff counts.
	Spacing time.Duration
	// WholeOrg: the org cannot be reached or limits its calls, so other calls fail in the
	// same way and an operator can do nothing for this one.
	WholeOrg bool
	// Hint tells the operator what to check.
	Hint string
}

const hintUnauthorized = "Salesforce rejected a new access token too: check the connected app and its user."

// cappedTries is how often a call is tried that may never succeed.
const cappedTries = 5

// byReason is the decision table for errorReasons. For the first two Salesforce
// documents "Please retry"; the other verdicts are inferred. The same table holds
// for Inactivate and End.
var byReason = map[interaction.ErrorReason]Decision{
	interaction.ReasonConversationPreconditionFailed: {Verdict: Retry},
	interaction.ReasonConversationProcessingAborted:  {Verdict: Retry},
	interaction.ReasonInternalError:                  {Verdict: Retry},
	interaction.ReasonEndSessionFailed: {
		Verdict: Capped, Tries: cappedTries,
		Hint: "The session cannot be saved: check the flows, triggers and validation rules on MessagingSession.",
	},
	interaction.ReasonCustomerError: {
		Verdict: Capped, Tries: 3, Spacing: 30 * time.Second,
		Hint: "The org's own automation or configuration probably failed: check its flows and triggers on MessagingSession.",
	},
	interaction.ReasonActiveConversationNotFound: {Verdict: Done},
	interaction.ReasonSessionNotFound:            {Verdict: Done},
	interaction.ReasonEndUserNotFound: operator("",
		"The org does not know this endUserClientId: correct it with a new start event."),
	interaction.ReasonChannelAddressNotFound: operator("",
		"Check the channel in the org (ids differ between sandbox and production), "+
			"or correct channelAddressIdentifier with a new start event."),
	interaction.ReasonChannelAddressIsInactive: operator("",
		"An admin can activate the messaging channel in Setup; then retry."),
	interaction.ReasonOrgNotFound: operator("", "Check that orgId, API base URL and credentials belong to the same org."),
	interaction.ReasonPermissionDenied: operator("",
		"Check the integration user's permissions (Partner Messaging), "+
			"and that Contact Center as a Service is on; then retry."),
	interaction.ReasonNoAccess: operator("",
		"Give the integration user access to the MessagingSession record; then retry."),
}

// Codes that concern the whole org.
const (
	codeOrgMigration      = "10019"
	codeServerUnavailable = "SERVER_UNAVAILABLE"
)

// byCode is the decision table for the numeric codes that are more specific than
// their HTTP status. Salesforce does not document which status comes with which
// code, so the code decides. A code that says that an identifier is not valid is
// never Done: a wrong identifier must not count as success.
var byCode = map[string]Decision{
	"500": {Verdict: Retry, Reason: string(interaction.ReasonInternalError)},
	"10001": operator(ReasonForbidden,
		"The authorizationContext does not belong to this channelAddressIdentifier: correct either with a new start event."),
	"10003": operator(ReasonForbidden, "Add the scope interaction_api to the connected app; then retry."),
	"10004": operator(ReasonUnauthorized, hintUnauthorized),
	"10005": operator(ReasonForbidden,
		"The authorizationContext does not belong to this connected app: check the channel definition, "+
			"or correct it with a new start event."),
	"10016": operator(ReasonForbidden, "Check orgId and authorizationContext, which are sent as headers."),
	"10017": decisionFor(interaction.ReasonChannelAddressNotFound),
	"10018": operator(ReasonInvalidConv,
		"Check conversationIdentifier: the workflow id contains it, so another one needs a new conversation."),
	codeOrgMigration: {Verdict: Retry, Reason: ReasonOrgMigration},
	"10020":          decisionFor(interaction.ReasonEndUserNotFound),
	"10025":          decisionFor(interaction.ReasonActiveConversationNotFound),
	"10026":          decisionFor(interaction.ReasonChannelAddressNotFound),
	"10031":          decisionFor(interaction.ReasonChannelAddressIsInactive),
	"10035":          decisionFor(interaction.ReasonChannelAddressNotFound),
	"10055":          decisionFor(interaction.ReasonConversationPreconditionFailed),
	"10056":          decisionFor(interaction.ReasonConversationProcessingAborted),
	"10058":          decisionFor(interaction.ReasonCustomerError),
	"10071":          decisionFor(interaction.ReasonSessionNotFound),
	"10072": operator(ReasonInvalidSession,
		"Send a start event with the right sessionId. Then repeat the close, if it was one."),
	"10093": operator(ReasonForbidden,
		"Check the type of the ConversationChannelDefinition that authorizationContext names."),
	"10094": {Verdict: Retry, Reason: ReasonTimeout},
	"10099": decisionFor(interaction.ReasonPermissionDenied),
	"10102": operator(ReasonInvalidRequest, "This is a bug of sessionkeeper: please report it."),
	"10103": operator(ReasonInvalidRequest, "This is a bug of sessionkeeper: please report it."),
	"10104": decisionFor(interaction.ReasonNoAccess),
	"10105": decisionFor(interaction.ReasonEndUserNotFound),
	"10106": operator(ReasonSessionIDMissing,
		"Inactivate needs the sessionId: send it with the next start or message event."),
	"UNABLE_TO_LOCK_ROW":  {Verdict: Retry, Reason: "UNABLE_TO_LOCK_ROW"},
	codeServerUnavailable: {Verdict: Retry, Reason: codeServerUnavailable},
	"15102":               decisionFor(interaction.ReasonPermissionDenied),
	"15105":               decisionFor(interaction.ReasonPermissionDenied),
}

// operator returns a decision that needs an operator. byReason adds the reason.
func operator(reason, hint string) Decision {
	return Decision{Verdict: Operator, Reason: reason, Hint: hint}
}

// decisionFor returns the decision for an errorReason.
func decisionFor(reason interaction.ErrorReason) Decision {
	d := byReason[reason]
	d.Reason = string(reason)
	return d
}

// Decide says what to do with a failed call. It looks at the most specific fact
// first: the errorReason, then the code, then the HTTP status.
func Decide(err error) Decision {
	d := decide(err)
	switch GateOutcome(err).Kind {
	case gate.Limited, gate.NoAnswer:
		d.WholeOrg = true
	case gate.NotSent, gate.Reachable, gate.Answered:
	}
	return d
}

func decide(err error) Decision {
	if errors.Is(err, ErrInterrupted) {
		return Decision{Verdict: Retry, Reason: ReasonInterrupted}
	}
	apiErr, ok := errors.AsType[*interaction.Error](err)
	if !ok || errors.Is(err, interaction.ErrInvalidRequest) {
		return decideUnsent(err)
	}
	if token, ok := errors.AsType[*interaction.TokenError](err); ok {
		return decideToken(token)
	}
	d := decideAnswer(apiErr)
	if d.Verdict == Done && apiErr.Err != nil {
		return decideTransport(apiErr) // a wrong answer must not count as success
	}
	return d
}

func decideAnswer(apiErr *interaction.Error) Decision {
	if apiErr.RateLimited() {
		return Decision{Verdict: Retry, Reason: ReasonRateLimited}
	}
	if apiErr.Reason != "" {
		return decideReason(apiErr.Reason)
	}
	if d, known := byCode[apiErr.Code]; known {
		return d
	}
	if symbolic := interaction.ErrorReason(apiErr.Code); symbolic.Known() {
		return decideReason(symbolic)
	}
	return decideTransport(apiErr)
}

// decideReason accepts unknown reasons: Salesforce has added some before.
func decideReason(reason interaction.ErrorReason) Decision {
	if !reason.Known() {
		return Decision{
			Verdict: Capped, Tries: cappedTries, Reason: string(reason),
			Hint: "This version does not know the errorReason: look it up in Salesforce's reference.",
		}
	}
	return decisionFor(reason)
}

func decideTransport(apiErr *interaction.Error) Decision {
	status := apiErr.HTTPStatus
	switch {
	case errors.Is(apiErr, interaction.ErrMalformedResponse):
		return Decision{
			Verdict: Capped, Tries: cappedTries, Reason: ReasonInvalidResponse,
			Hint: "This is not how the API answers: check the API base URL and the proxies on the way.",
		}
	case apiErr.Err != nil && timedOut(apiErr):
		return Decision{Verdict: Retry, Reason: ReasonTimeout}
	case apiErr.Err != nil:
		return Decision{Verdict: Retry, Reason: ReasonNetwork}
	case isUnexplained(apiErr):
		return Decision{
			Verdict: Capped, Tries: cappedTries, Reason: ReasonUnknown,
			Hint: "Ask Salesforce with the RequestId of the details.",
		}
	case interaction.IsTransient(status):
		return Decision{Verdict: Retry, Reason: httpReason(status)}
	case status == http.StatusUnauthorized:
		return operator(ReasonUnauthorized, hintUnauthorized)
	case status == http.StatusForbidden:
		return operator(ReasonForbidden,
			"Check the connected app's scope interaction_api and the integration user's permissions.")
	default:
		return operator(httpReason(status), "Check the API base URL and the conversation's identity.")
	}
}

// Tries of a refused token request: they span a minute, because such refusals have
// passed by themselves.
const (
	tokenTries   = 4
	tokenSpacing = 20 * time.Second
)

func decideToken(token *interaction.TokenError) Decision {
	d := Decision{Verdict: Retry}
	if !token.Passing() {
		d = Decision{Verdict: Capped, Tries: tokenTries, Spacing: tokenSpacing}
	}
	reason, hint := explainToken(token)
	d.Reason, d.Hint = "TOKEN_"+reason, hint
	return d
}

func explainToken(token *interaction.TokenError) (reason, hint string) {
	switch {
	case errors.Is(token, interaction.ErrMalformedResponse):
		return ReasonInvalidResponse,
			"This is not how a token endpoint answers: check the token URL and the proxies on the way."
	case token.Err != nil && timedOut(token):
		return ReasonTimeout, ""
	case token.Err != nil:
		return ReasonNetwork, ""
	case interaction.IsTransient(token.HTTPStatus):
		return httpReason(token.HTTPStatus), ""
	case token.Code == "":
		return httpReason(token.HTTPStatus), "Check the token URL and the proxies on the way."
	case token.Passing():
		return strings.ToUpper(token.Code), ""
	default:
		return strings.ToUpper(token.Code),
			"Check the consumer key, the user name, the key or secret, and the connected app's policies."
	}
}

// decideUnsent decides for a call that was not sent, and for an error of another
// implementation of [API].
func decideUnsent(err error) Decision {
	switch {
	case errors.Is(err, errOrgNotConfigured):
		return operator(ReasonOrgNotConfigured, "Add the org to the worker's configuration; then it is tried again.")
	case errors.Is(err, errForeignWorkflow):
		return operator(ReasonForeignWorkflow, "Find out which program started this workflow.")
	case errors.Is(err, interaction.ErrInvalidRequest):
		return operator(ReasonInvalidRequest, "Correct it with a new start event.")
	default:
		return Decision{Verdict: Capped, Tries: cappedTries, Reason: ReasonUnknown}
	}
}

type timeoutError interface {
	error
	Timeout() bool
}

func timedOut(err error) bool {
	timeout, ok := errors.AsType[timeoutError](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout()
}

// isUnexplained reports whether Salesforce answered 2xx with success false, and
// without a reason.
func isUnexplained(e *interaction.Error) bool {
	return e.Err == nil && e.Reason == "" && interaction.IsSuccess(e.HTTPStatus)
}

func httpReason(status int) string { return "HTTP_" + strconv.Itoa(status) }
