package activities

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/gate"
	"sessionkeeper/internal/interaction"
)

var (
	errOrgNotConfigured = errors.New("this worker's configuration does not have the org")
	errForeignWorkflow  = errors.New("another workflow than the conversation of the request asks for the call")
)

// API is the part of Salesforce's Interaction Service that the activities call.
// [*interaction.Client] implements it.
type API interface {
	MessagingSession(ctx context.Context, r interaction.Request) (interaction.Response, error)
}

// Org is one org that the activities may call.
type Org struct {
	API API
	// Gate decides when a call may go.
	Gate *gate.Gate
}

// Orgs finds an org by its 15-character id.
type Orgs interface {
	Org(id string) (Org, bool)
}

// Activities makes the calls to Salesforce. Register it with a worker: its methods are the
// activity types "Inactivate" and "End".
type Activities struct {
	orgs     Orgs
	temporal func(context.Context) temporalClient
}

// temporalClient is the part of Temporal's client that an attempt needs.
type temporalClient interface {
	SignalWorkflow(ctx context.Context, workflowID, runID, signalName string, arg any) error
	RecordActivityHeartbeat(ctx context.Context, taskToken []byte, details ...any) error
}

// New returns the activities for these orgs.
func New(orgs Orgs) *Activities {
	return &Activities{
		orgs:     orgs,
		temporal: func(ctx context.Context) temporalClient { return activity.GetClient(ctx) },
	}
}

// Request is the input of both activities.
type Request struct {
	conversation.Identity
	By conversation.By `json:"by"`
	// KnownSince is when the workflow first heard of the session, by Temporal's
	// clock. Until a minute after it, "not found" is tried again.
	KnownSince time.Time `json:"knownSince,omitzero"`
}

// Inactivate makes the session Inactive in Salesforce. It answers only to the workflow of
// the conversation that the request names.
//
// It returns when Salesforce has accepted the call, or answers that the session is
// over (AlreadyOver), or that there is no active conversation (NotActive). Any
// other answer is a [temporal.ApplicationError]. Its type is the errorReason, its
// details are one [conversation.Answer], and the decision table says whether it is
// retryable. The next attempt waits at least as long as Salesforce's Retry-After
// says. The third failed attempt of a call sends a [conversation.CallFailing] to
// its workflow, if the call is tried again.
//
// If the org's gate lets no call go, nothing is sent, and the error says when the next
// attempt asks again: see [IsWait]. Such an attempt counts as none.
//
// A cancelled activity finishes the attempt in flight. Only a call that lasts sends
// heartbeats: the request of a worker that cannot reach Temporal ends before
// [HeartbeatTimeout]. Heartbeat details carry what the next attempt has to know.
func (a *Activities) Inactivate(ctx context.Context, r Request) (conversation.Answer, error) {
	return a.call(ctx, conversation.Inactivate, r)
}

// End ends the session in Salesforce. It returns as [Activities.Inactivate] does,
// but never NotActive.
func (a *Activities) End(ctx context.Context, r Request) (conversation.Answer, error) {
	return a.call(ctx, conversation.End, r)
}

func (a *Activities) call(ctx context.Context, op conversation.Operation, r Request) (conversation.Answer, error) {
	info := activity.GetInfo(ctx)
	progress := readProgress(ctx, info.Attempt)
	answer := conversation.Answer{Operation: op, By: r.By, Attempt: progress.Attempt(info.Attempt)}
	began := time.Now()
	response, wait, err := a.send(ctx, op, r, info, progress)
	// By Temporal's clock, because the workflow compares it with its own time.
	answer.At = info.StartedTime.Add(time.Since(began)).UTC()
	switch {
	case err == nil && wait != nil:
		err = progress.Wait(answer, r.OrgID, wait)
		activity.RecordHeartbeat(ctx, progress)
		countWait(ctx, op, wait.State)
		return answer, err
	case err == nil:
		answer.RequestID, answer.HTTPStatus = response.RequestID.String(), response.HTTPStatus
		countCall(ctx, op, "success", "")
		logSuccess(ctx, answer, progress)
		return answer, nil
	}

	decision, err := progress.Judge(&answer, err, ageOf(r, info), wait)
	countCall(ctx, op, decision.Verdict, decision.Reason)
	if err == nil {
		logDone(ctx, answer)
		return answer, nil
	}
	a.reportFailure(ctx, answer, decision, progress)
	return answer, err
}

// send makes the call, or says what it has to wait for. A call that Salesforce has refused
// because there were too many has an error and a wait. Cancelling the activity does not
// abort the call: Salesforce may have executed a request that was sent, and only its answer
// says so.
func (a *Activities) send(
	ctx context.Context, op conversation.Operation, r Request, info activity.Info, progress Progress,
) (interaction.Response, *gate.Wait, error) {
	// Any client of the namespace can start workflows and name this task queue.
	if info.WorkflowType == nil || info.WorkflowType.Name != conversation.WorkflowType ||
		info.WorkflowExecution.ID != r.WorkflowID() {
		return interaction.Response{}, nil, errForeignWorkflow
	}
	org, ok := a.orgs.Org(r.OrgID)
	if !ok {
		return interaction.Response{}, nil, errOrgNotConfigured
	}
	pass, wait := org.Gate.Enter(gate.Call{HangUp: info.Priority.PriorityKey == HangUpPriority, Turn: progress.Turn})
	if wait != nil {
		return interaction.Response{}, wait, nil
	}
	defer pass.Return()
	// The org may have got another API since, or its first one.
	if org, ok = a.orgs.Org(r.OrgID); !ok || org.API == nil {
		return interaction.Response{}, nil, errOrgNotConfigured
	}
	deadline, cancel := context.WithDeadline(context.WithoutCancel(ctx), info.Deadline.Add(-signalTimeout-reportMargin))
	defer cancel()
	client := a.temporal(ctx)
	heartbeat := func(ctx context.Context) error { return client.RecordActivityHeartbeat(ctx, info.TaskToken, progress) }
	held, err := newClaim(deadline, info.StartedTime, cmp.Or(info.HeartbeatTimeout, AttemptTimeout), heartbeat)
	if err != nil {
		return interaction.Response{}, nil, err
	}
	defer held.release()
	response, err := org.API.MessagingSession(held, interaction.Request{ //nolint:contextcheck // a claim is a context
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
	if held.wasLost() {
		err = interrupted(err)
	}
	return response, pass.Done(GateOutcome(err)), err
}

// addFailure adds the facts of the failure to the answer.
func addFailure(answer *conversation.Answer, d Decision, err error) {
	answer.Reason, answer.Message = d.Reason, failureText(err)
	if apiErr, ok := errors.AsType[*interaction.Error](err); ok {
		answer.HTTPStatus, answer.Code = apiErr.HTTPStatus, apiErr.Code
		if apiErr.Requests > 0 {
			answer.RequestID = apiErr.RequestID.String()
		}
	}
	if token, ok := errors.AsType[*interaction.TokenError](err); ok {
		answer.HTTPStatus, answer.Code = token.HTTPStatus, token.Code
	}
}

// addDone adds what the answer says of the session. "No active conversation" does
// not say that the session is over: it may be Inactive already.
func addDone(answer *conversation.Answer) {
	answer.NotActive = answer.Operation == conversation.Inactivate &&
		answer.Reason == string(interaction.ReasonActiveConversationNotFound)
	answer.AlreadyOver = !answer.NotActive
}

// failure returns the error of the attempt. Its category is benign, because the
// SDK would otherwise log it a second time, as an error of this worker.
func failure(answer conversation.Answer, d Decision, err error, wait *gate.Wait, backoff time.Duration) error {
	options := temporal.ApplicationErrorOptions{
		NonRetryable: d.Verdict == Operator, Details: []any{answer},
		Category: temporal.ApplicationErrorCategoryBenign,
	}
	if !options.NonRetryable {
		options.NextRetryDelay = max(d.Spacing, retryAfter(err), backoff)
		if wait != nil {
			options.NextRetryDelay = max(wait.Delay, retryAfter(err))
		}
	}
	return temporal.NewApplicationErrorWithOptions(explain(answer.Operation, d, err), d.Reason, options)
}

func retryAfter(err error) time.Duration {
	if token, ok := errors.AsType[*interaction.TokenError](err); ok {
		return token.RetryAfter
	}
	if apiErr, ok := errors.AsType[*interaction.Error](err); ok {
		return apiErr.RetryAfter
	}
	return 0
}

func countCall(ctx context.Context, op conversation.Operation, verdict Verdict, reason string) {
	activity.GetMetricsHandler(ctx).WithTags(map[string]string{
		"operation": string(op), "verdict": string(verdict), "reason": reason,
	}).Counter("sessionkeeper_calls").Inc(1)
}

// requestIDNamespace is the namespace of our RequestIds: the UUID v5 of
// "sessionkeeper" in the DNS namespace.
var requestIDNamespace = uuid.MustParse("db543910-0f85-56dc-b45b-56fddcd52457")

// RequestID is the RequestId header of an attempt's first HTTP request: the
// UUID v5 of "<workflow id>/<run id>/<activity id>/<attempt>" in our own
// namespace. So it can be computed from the history, to search Salesforce's logs
// for it. The second request after a 401 uses the UUID v5 of "2" in the namespace
// of the first one.
func RequestID(info activity.Info) uuid.UUID {
	name := info.WorkflowExecution.ID + "/" + info.WorkflowExecution.RunID + "/" +
		info.ActivityID + "/" + strconv.Itoa(int(info.Attempt))
	return uuid.NewSHA1(requestIDNamespace, []byte(name))
}
