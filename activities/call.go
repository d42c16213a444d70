package activities

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/interaction"
)

var errOrgNotConfigured = errors.New("this worker's configuration does not have the org")

// API is the part of Salesforce's Interaction Service that the activities call.
// [*interaction.Client] is one.
type API interface {
	MessagingSession(ctx context.Context, r interaction.Request) (interaction.Response, error)
}

// Activities are the calls to Salesforce, one API per org. Register it with a
// worker; its methods are the activity types "Inactivate" and "End".
type Activities struct {
	orgs map[string]API
}

// New returns the activities for these orgs, keyed by 15-character org id.
func New(orgs map[string]API) *Activities { return &Activities{orgs: orgs} }

// Request is the input of both activities.
type Request struct {
	conversation.Identity
	By conversation.By `json:"by"`
	// SessionSince is when the session was first heard of. In its first minute
	// "not found" is tried again a few times before it counts.
	SessionSince time.Time `json:"sessionSince,omitzero"`
}

// Inactivate tells Salesforce that the session has gone quiet.
//
// It returns when Salesforce knows, or answers that the session is over
// already (AlreadyOver). Any other answer is a [temporal.ApplicationError]
// whose type is the errorReason and whose details are one
// [conversation.Answer]; it is retryable or not as the decision table says, and
// not before the time that Salesforce has asked for.
//
// A cancelled activity finishes the attempt under way. It needs no heartbeat
// timeout; heartbeat details carry what an attempt has to know of earlier ones.
func (a *Activities) Inactivate(ctx context.Context, r Request) (conversation.Answer, error) {
	return a.call(ctx, conversation.Inactivate, r)
}

// End tells Salesforce that the session is over. It returns as
// [Activities.Inactivate] does.
func (a *Activities) End(ctx context.Context, r Request) (conversation.Answer, error) {
	return a.call(ctx, conversation.End, r)
}

func (a *Activities) call(ctx context.Context, op conversation.Operation, r Request) (conversation.Answer, error) {
	info := activity.GetInfo(ctx)
	answer := conversation.Answer{Operation: op, By: r.By, Attempt: int(info.Attempt)}

	response, err := a.send(ctx, op, r, info)
	answer.At = time.Now().UTC()
	if err == nil {
		answer.RequestID, answer.HTTPStatus = response.RequestID.String(), response.HTTPStatus
		observe(ctx, op, "success", "")
		return answer, nil
	}

	decision := Decide(err)
	describe(&answer, decision, err)
	past := earlier(ctx, answer.Attempt)
	decision = past.settle(decision, err, time.Since(r.SessionSince) < startRace)
	observe(ctx, op, decision.Verdict, decision.Reason)
	note(ctx, answer, decision)
	if decision.Verdict == Done {
		answer.AlreadyOver = true
		return answer, nil
	}
	// The first heartbeat of an attempt is sent before RecordHeartbeat returns,
	// so the next attempt finds it.
	activity.RecordHeartbeat(ctx, past)
	return answer, failure(answer, decision, err)
}

// toReport is what is left of an attempt's time to report how it failed.
const toReport = 2 * time.Second

// send makes the call. A cancelled activity does not take it back: what has
// been sent may have been acted on, and only the answer tells.
func (a *Activities) send(ctx context.Context, op conversation.Operation, r Request, info activity.Info) (interaction.Response, error) {
	org, ok := a.orgs[r.OrgID]
	if !ok {
		return interaction.Response{}, errOrgNotConfigured
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), info.Deadline.Add(-toReport))
	defer cancel()
	return org.MessagingSession(ctx, interaction.Request{
		OrgID:                    r.OrgID,
		AuthorizationContext:     r.AuthorizationContext,
		ChannelAddressIdentifier: r.ChannelAddressIdentifier,
		EndUserClientID:          r.EndUserClientID,
		ConversationIdentifier:   r.ConversationIdentifier,
		SessionID:                r.SessionID,
		Operation:                interaction.Operation(op),
		OperationBy:              interaction.OperationBy(r.By),
		RequestID:                RequestID(info),
	})
}

// describe adds to the answer what is known of the failure.
func describe(answer *conversation.Answer, d Decision, err error) {
	answer.Reason, answer.Message = d.Reason, said(err)
	if refused, ok := errors.AsType[*interaction.Error](err); ok {
		answer.HTTPStatus, answer.Code = refused.HTTPStatus, refused.Code
		if refused.Requests > 0 {
			answer.RequestID = refused.RequestID.String()
		}
	}
	if token, ok := errors.AsType[*interaction.TokenError](err); ok {
		answer.HTTPStatus, answer.Code = token.HTTPStatus, token.Code
	}
}

// failure is the attempt's error. It is benign to the SDK, which would else
// write it a second time, as an error of this worker.
func failure(answer conversation.Answer, d Decision, err error) error {
	options := temporal.ApplicationErrorOptions{
		NonRetryable: d.Verdict == Operator, Details: []any{answer},
		Category: temporal.ApplicationErrorCategoryBenign,
	}
	if !options.NonRetryable {
		options.NextRetryDelay = max(d.Spacing, retryAfter(err))
	}
	return temporal.NewApplicationErrorWithOptions(explain(answer.Operation, d, err), d.Reason, options)
}

func retryAfter(err error) time.Duration {
	if token, ok := errors.AsType[*interaction.TokenError](err); ok {
		return token.RetryAfter
	}
	if refused, ok := errors.AsType[*interaction.Error](err); ok {
		return refused.RetryAfter
	}
	return 0
}

// note writes one line for each call that did not succeed at once. The SDK adds
// which conversation and which attempt it was.
func note(ctx context.Context, answer conversation.Answer, d Decision) {
	log := activity.GetLogger(ctx)
	facts := []any{
		"verdict", string(d.Verdict), "reason", answer.Reason, "httpStatus", answer.HTTPStatus,
		"code", answer.Code, "requestId", answer.RequestID, "message", answer.Message,
	}
	switch d.Verdict {
	case Done:
		log.Info("Session is over already", facts...)
	case Operator:
		log.Error("Call refused, an operator is needed", facts...)
	default:
		log.Warn("Call failed, will be tried again", facts...)
	}
}

func observe(ctx context.Context, op conversation.Operation, verdict Verdict, reason string) {
	activity.GetMetricsHandler(ctx).WithTags(map[string]string{
		"operation": string(op), "verdict": string(verdict), "reason": reason,
	}).Counter("sessionkeeper_calls").Inc(1)
}

// requestIDs is the namespace of our RequestIds: the UUID v5 of
// "sessionkeeper" in the DNS namespace.
var requestIDs = uuid.MustParse("db543910-0f85-56dc-b45b-56fddcd52457")

// RequestID is the RequestId header of an attempt's first HTTP request: the
// UUID v5 of "<workflow id>/<run id>/<activity id>/<attempt>" in a namespace of
// ours, so that it can be recomputed from the history and found in
// Salesforce's logs. A resend after 401 uses the UUID v5 of "2" in the
// namespace of the first.
func RequestID(info activity.Info) uuid.UUID {
	name := info.WorkflowExecution.ID + "/" + info.WorkflowExecution.RunID + "/" +
		info.ActivityID + "/" + strconv.Itoa(int(info.Attempt))
	return uuid.NewSHA1(requestIDs, []byte(name))
}
