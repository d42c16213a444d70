package activities

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/gate"
	"sessionkeeper/internal/interaction"
)

// HangUpPriority is the priority key of a call that ends a closed chat, CallPriority that
// of any other call. Temporal and the org's gate let the lower number go first.
const (
	HangUpPriority = 2
	CallPriority   = 4
)

// IsWait reports whether an error of an activity says that the attempt has sent nothing,
// because its org lets no call go. An errorReason of Salesforce that begins like our own is
// no wait: what needs an operator is not retryable.
func IsWait(err error) bool {
	failed, ok := errors.AsType[*temporal.ApplicationError](err)
	return ok && !failed.NonRetryable() && strings.HasPrefix(failed.Type(), conversation.ErrorWaitsForOrg)
}

// Wait counts an attempt that only waited for the org, and returns its error. The details
// of the error are an answer without an answer of Salesforce, which has the number of
// attempts until then.
func (p *Progress) Wait(answer conversation.Answer, orgID string, w *gate.Wait) error {
	p.Waits++
	p.Turn = w.Turn
	answer.Attempt--
	state := string(w.State)
	reason := conversation.ErrorWaitsForOrg + strings.ToUpper(strings.ReplaceAll(state, " ", "_"))
	if w.Reason != "" {
		state += " (" + w.Reason + ")"
	}
	answer.Reason = reason
	text := fmt.Sprintf("%s has not been sent: it waits for org %s: %s, next try %s",
		answer.Operation, orgID, state, answer.At.Add(w.Delay).UTC().Format(time.RFC3339))
	return temporal.NewApplicationErrorWithOptions(text, reason, temporal.ApplicationErrorOptions{
		NextRetryDelay: w.Delay, Details: []any{answer}, Category: temporal.ApplicationErrorCategoryBenign,
	})
}

// GateOutcome is what the result of a call says of the whole org.
func GateOutcome(err error) gate.Outcome {
	if err == nil {
		return gate.Outcome{Kind: gate.Answered}
	}
	if errors.Is(err, ErrInterrupted) {
		return gate.Outcome{Kind: gate.NotSent} // it was not Salesforce that did not answer
	}
	if token, ok := errors.AsType[*interaction.TokenError](err); ok {
		return outcomeOf(token.HTTPStatus, token.Err, token.RetryAfter, gate.Reachable)
	}
	apiErr, ok := errors.AsType[*interaction.Error](err)
	switch {
	case !ok || errors.Is(err, interaction.ErrInvalidRequest):
		return gate.Outcome{Kind: gate.NotSent}
	case apiErr.RateLimited():
		return gate.Outcome{Kind: gate.Limited, RetryAfter: apiErr.RetryAfter}
	case apiErr.Code == codeOrgMigration, apiErr.Code == codeServerUnavailable:
		return gate.Outcome{Kind: gate.NoAnswer, RetryAfter: apiErr.RetryAfter}
	case apiErr.Reason != "" || apiErr.Code != "":
		return gate.Outcome{Kind: gate.Answered}
	default:
		return outcomeOf(apiErr.HTTPStatus, apiErr.Err, apiErr.RetryAfter, gate.Answered)
	}
}

// outcomeOf is the outcome of a request by its HTTP status and its error. answered is what
// any other answer means.
func outcomeOf(status int, err error, retryAfter time.Duration, answered gate.OutcomeKind) gate.Outcome {
	switch {
	case status == http.StatusTooManyRequests:
		return gate.Outcome{Kind: gate.Limited, RetryAfter: retryAfter}
	case err != nil && !errors.Is(err, interaction.ErrMalformedResponse),
		status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return gate.Outcome{Kind: gate.NoAnswer, RetryAfter: retryAfter}
	default:
		return gate.Outcome{Kind: answered}
	}
}

func countWait(ctx context.Context, op conversation.Operation, state gate.State) {
	activity.GetMetricsHandler(ctx).WithTags(map[string]string{
		"operation": string(op), "state": string(state),
	}).Counter("sessionkeeper_waits").Inc(1)
}
