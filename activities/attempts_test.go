package activities_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/interaction"
	"sessionkeeper/sandbox/simulator"
)

const activityID = "call-1"

// once is a workflow of one call, with its retries.
func once(ctx workflow.Context, op conversation.Operation, r activities.Request) (conversation.Answer, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		ActivityID:          activityID,
		StartToCloseTimeout: 45 * time.Second,
		// Without a limit, the test environment stops after ten attempts.
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 1, MaximumAttempts: 100},
	})
	var answer conversation.Answer
	err := workflow.ExecuteActivity(ctx, string(op), r).Get(ctx, &answer)
	return answer, err
}

// attempts runs the activity with its retries until it returns. It does not wait.
func attempts(t *testing.T, do *activities.Activities, op conversation.Operation, r activities.Request) result {
	t.Helper()
	env := newSuite().NewTestWorkflowEnvironment()
	env.RegisterActivity(do)
	env.RegisterWorkflow(once)
	env.ExecuteWorkflow(once, op, r)
	require.True(t, env.IsWorkflowCompleted())
	var got result
	if err := env.GetWorkflowError(); err != nil {
		require.ErrorAs(t, err, &got.failure)
		require.NoError(t, got.failure.Details(&got.answer))
		requireNoPersonalData(t, err.Error(), got.answer)
		return got
	}
	require.NoError(t, env.GetWorkflowResult(&got.answer))
	return got
}

func fault(times int, a simulator.Answer) simulator.Fault {
	return simulator.Fault{Endpoint: simulator.MessagingSessionEndpoint, Times: times, Answer: &a}
}

var (
	customerError = simulator.Answer{ErrorReason: "CUSTOMER_ERROR"}
	unavailable   = simulator.Answer{Status: 503}
	notFound      = simulator.Answer{ErrorReason: "SESSION_NOT_FOUND"}
	rateLimited   = simulator.Answer{Status: 429}
)

func TestRetriesUntilSuccess(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		l := newLab(t, 10*time.Second)
		l.inject(fault(12, simulator.Answer{ErrorReason: "INTERNAL_ERROR"}), fault(3, rateLimited))
		got := attempts(t, l.do, op, request())
		require.Nil(t, got.failure)
		require.Equal(t, 16, got.answer.Attempt)
		require.Equal(t, 200, got.answer.HTTPStatus)
		require.Empty(t, got.answer.Reason)
		require.False(t, got.answer.AlreadyOver)
	}
}

func TestCappedIsGivenUpAtItsLimit(t *testing.T) {
	t.Parallel()
	for name, bound := range map[string]int{"END_SESSION_FAILED": 5, "CUSTOMER_ERROR": 3, "SESSION_ON_FIRE": 5} {
		l := newLab(t, 10*time.Second)
		l.inject(fault(0, simulator.Answer{ErrorReason: name}))
		got := attempts(t, l.do, conversation.End, request())
		require.Equal(t, name, got.failure.Type())
		require.True(t, got.failure.NonRetryable())
		require.Zero(t, got.failure.NextRetryDelay(), "there is no next attempt")
		require.Equal(t, bound, got.answer.Attempt)
		require.Len(t, l.apiCalls(), bound)
		require.Contains(t, got.failure.Message(), "Given up after")
	}
}

func TestCappedIsGivenUpWithOtherRetriesInBetween(t *testing.T) {
	t.Parallel()
	l := newLab(t, 10*time.Second)
	l.inject(
		fault(1, customerError), fault(2, unavailable),
		fault(1, customerError), fault(7, rateLimited),
		fault(0, customerError),
	)
	got := attempts(t, l.do, conversation.End, request())
	require.Equal(t, "CUSTOMER_ERROR", got.failure.Type())
	require.Equal(t, 12, got.answer.Attempt)
}

func TestNotFoundRightAfterTheStartIsRetried(t *testing.T) {
	t.Parallel()
	young := request()
	young.KnownSince = time.Now()

	t.Run("found by a later attempt", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, 10*time.Second)
		l.inject(fault(2, notFound))
		got := attempts(t, l.do, conversation.End, young)
		require.Nil(t, got.failure)
		require.False(t, got.answer.AlreadyOver)
		require.Equal(t, 3, got.answer.Attempt)
	})
	t.Run("counts as ended after a few tries", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, 10*time.Second)
		l.inject(fault(1, rateLimited), fault(0, notFound))
		got := attempts(t, l.do, conversation.Inactivate, young)
		require.Nil(t, got.failure)
		require.True(t, got.answer.AlreadyOver)
		require.Equal(t, "SESSION_NOT_FOUND", got.answer.Reason)
		require.Equal(t, 5, got.answer.Attempt)
	})
	t.Run("tells the operator", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, 10*time.Second)
		l.inject(fault(0, notFound))
		got := attempt(t, l.do, conversation.End, young, nil)
		require.False(t, got.failure.NonRetryable())
		require.Equal(t, "SESSION_NOT_FOUND", got.failure.Type())
		require.Contains(t, got.failure.Message(), "less than a minute old")
		require.Equal(t, &progress{Attempt: 1, EarlyNotFound: 1}, got.heartbeat)
	})
	t.Run("not after a minute", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, 10*time.Second)
		l.inject(fault(0, notFound))
		older := young
		older.KnownSince = time.Now().Add(-time.Minute)
		require.Equal(t, 1, attempts(t, l.do, conversation.End, older).answer.Attempt)
	})
	t.Run("not if an earlier attempt may have succeeded", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, 10*time.Second)
		l.inject(simulator.Fault{
			Endpoint: simulator.MessagingSessionEndpoint, Break: simulator.Reset, Process: true, Times: 1,
		})
		got := attempts(t, l.do, conversation.End, young)
		require.Nil(t, got.failure)
		require.True(t, got.answer.AlreadyOver)
		require.Equal(t, 2, got.answer.Attempt)
	})
}

// An attempt that was interrupted sent no heartbeat. It may have succeeded.
func TestAttemptWithoutHeartbeatMayHaveSucceeded(t *testing.T) {
	t.Parallel()
	young := request()
	young.KnownSince = time.Now()
	panics := true
	client := apiFunc(func(_ context.Context, r interaction.Request) (interaction.Response, error) {
		if panics {
			panics = false
			panic("the worker crashes")
		}
		return interaction.Response{}, &interaction.Error{
			Operation:  r.Operation,
			RequestID:  r.RequestID,
			Requests:   1,
			HTTPStatus: 200,
			Reason:     interaction.ReasonSessionNotFound,
		}
	})
	got := attempts(t, activities.New(map[string]activities.API{orgID: client}), conversation.End, young)
	require.Nil(t, got.failure)
	require.True(t, got.answer.AlreadyOver)
	require.Equal(t, 2, got.answer.Attempt)
}

func TestHeartbeatDetails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		how    trouble
		before *progress
		after  *progress
	}{
		"none after success": {func(*lab) {}, nil, nil},
		"none after done":    {reason("SESSION_NOT_FOUND"), nil, nil},
		"a retry":            {status(429), nil, &progress{Attempt: 1}},
		"a retry keeps the counts": {
			status(429), &progress{Capped: 2, EarlyNotFound: 1}, &progress{Attempt: 1, Capped: 2, EarlyNotFound: 1},
		},
		"a capped failure is counted": {
			reason("CUSTOMER_ERROR"), &progress{Capped: 1, OutcomeUnknown: true},
			&progress{Attempt: 1, Capped: 2, OutcomeUnknown: true},
		},
		"no answer: outcome unknown": {
			spoiled(simulator.Reset), nil, &progress{Attempt: 1, OutcomeUnknown: true},
		},
		"failure of the server: outcome unknown": {status(503), nil, &progress{Attempt: 1, OutcomeUnknown: true}},
		"no token: not sent":                     {token(503, "down", 0), nil, &progress{Attempt: 1}},
		"no connection: not sent":                {refused, nil, &progress{Attempt: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 10*time.Second)
			c.how(l)
			require.Equal(t, c.after, attempt(t, l.do, conversation.End, request(), c.before).heartbeat)
		})
	}
}

func TestRequestIDsAreReproducibleFromHistory(t *testing.T) {
	t.Parallel()
	l := newLab(t, 10*time.Second)
	l.inject(
		fault(1, unavailable),
		simulator.Fault{Endpoint: simulator.MessagingSessionEndpoint, Times: 1, RevokeToken: true},
	)
	got := attempts(t, l.do, conversation.End, request())
	require.Nil(t, got.failure)

	first, second := requestID(1), requestID(2)
	resent := uuid.NewSHA1(second, []byte("2"))
	var sent []string
	for _, call := range l.apiCalls() {
		sent = append(sent, call.RequestID)
		require.Empty(t, call.Violations)
	}
	require.Equal(t, []string{first.String(), second.String(), resent.String()}, sent)
	require.Equal(t, resent.String(), got.answer.RequestID)
	for _, id := range []uuid.UUID{first, second, resent} {
		require.Equal(t, uuid.Version(5), id.Version())
		require.Equal(t, uuid.RFC4122, id.Variant())
	}
}

// requestID computes a RequestId from the history, as documented.
func requestID(attempt int32) uuid.UUID {
	namespace := uuid.NewSHA1(uuid.NameSpaceDNS, []byte("sessionkeeper"))
	name := "default-test-workflow-id/default-test-run-id/" + activityID + "/"
	return uuid.NewSHA1(namespace, append([]byte(name), byte('0'+attempt)))
}

func TestRequestIDIsUniquePerAttempt(t *testing.T) {
	t.Parallel()
	seen := map[uuid.UUID]activity.Info{}
	for _, workflowID := range []string{"a", "b"} {
		for _, runID := range []string{"r1", "r2"} {
			for _, id := range []string{"1", "11"} {
				for n := range int32(15) {
					info := activity.Info{
						WorkflowExecution: workflow.Execution{ID: workflowID, RunID: runID}, ActivityID: id, Attempt: n,
					}
					require.NotContains(t, seen, activities.RequestID(info))
					seen[activities.RequestID(info)] = info
				}
			}
		}
	}
}

func TestTokenExpired(t *testing.T) {
	t.Parallel()
	for _, op := range operations {
		l := newLab(t, 10*time.Second)
		l.inject(simulator.Fault{Endpoint: simulator.MessagingSessionEndpoint, Times: 1, RevokeToken: true})
		got := attempt(t, l.do, op, request(), nil)
		require.Nil(t, got.failure)
		require.Len(t, l.apiCalls(), 2)
		require.Equal(t, l.apiCalls()[1].RequestID, got.answer.RequestID)
	}
}

func TestOrgNotConfigured(t *testing.T) {
	t.Parallel()
	l := newLab(t, 10*time.Second)
	r := request()
	r.OrgID = "00D000000000999"
	got := attempt(t, l.do, conversation.End, r, nil)
	require.Equal(t, "ORG_NOT_CONFIGURED", got.failure.Type())
	require.True(t, got.failure.NonRetryable())
	require.Empty(t, l.Journal())
	require.Empty(t, got.answer.RequestID, "no request was made")
}

func TestInvalidRequestIsNotSent(t *testing.T) {
	t.Parallel()
	for field, spoil := range map[string]func(*activities.Request){
		"EndUserClientID":          func(r *activities.Request) { r.EndUserClientID = "" },
		"AuthorizationContext":     func(r *activities.Request) { r.AuthorizationContext = "Partner1\r\nOrgId: x" },
		"ChannelAddressIdentifier": func(r *activities.Request) { r.ChannelAddressIdentifier = string(make([]byte, 1<<20)) },
		"ConversationIdentifier":   func(r *activities.Request) { r.ConversationIdentifier = " " },
		"OperationBy":              func(r *activities.Request) { r.By = "Nobody" },
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 10*time.Second)
			r := request()
			spoil(&r)
			got := attempt(t, l.do, conversation.End, r, nil)
			require.Equal(t, "INVALID_REQUEST", got.failure.Type())
			require.True(t, got.failure.NonRetryable())
			require.Contains(t, got.failure.Message(), "End was not sent: invalid request: "+field+" ")
			require.Empty(t, got.answer.RequestID, "no request was made")
			require.Empty(t, l.Journal())
		})
	}
}

// Salesforce refuses Inactivate without a session id, with code 10106.
func TestSessionIDMissing(t *testing.T) {
	t.Parallel()
	l := newLab(t, 10*time.Second)
	r := request()
	r.SessionID = ""
	got := attempt(t, l.do, conversation.Inactivate, r, nil)
	require.Equal(t, "SESSION_ID_MISSING", got.failure.Type())
	require.True(t, got.failure.NonRetryable())
	require.Nil(t, attempt(t, l.do, conversation.End, r, nil).failure)
}

// Personal data that Salesforce or a proxy repeats must not get into a history.
func TestNoPersonalDataInErrors(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 400, 401, 403, 429, 503} {
		for _, form := range []string{
			"%s", `{"code":10017,"message":"%s"}`, `{"success":false,"errorReason":"%s"}`, `{"code":"%s"}`,
		} {
			l := newLab(t, 10*time.Second)
			l.api = echoes(status, form)
			got := attempt(t, l.do, conversation.End, request(), nil) // checks for personal data
			require.NotNil(t, got.failure)
		}
	}
}

// A cancelled activity finishes its attempt: only the answer says whether the session
// has ended.
func TestCancelDoesNotAbortARequest(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	client := apiFunc(func(call context.Context, r interaction.Request) (interaction.Response, error) {
		cancel()
		if _, bounded := call.Deadline(); !bounded {
			return interaction.Response{}, errors.New("no deadline")
		}
		return interaction.Response{RequestID: r.RequestID, HTTPStatus: 200}, call.Err()
	})
	env := newSuite().NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	env.RegisterActivity(activities.New(map[string]activities.API{orgID: client}))
	value, err := env.ExecuteActivity("End", request())
	require.NoError(t, err)
	require.Error(t, ctx.Err())
	var answer conversation.Answer
	require.NoError(t, value.Get(&answer))
	require.Equal(t, 200, answer.HTTPStatus)
}

// Another implementation of API may return an unknown error.
func TestUnknownErrorIsCapped(t *testing.T) {
	t.Parallel()
	decision := activities.Decide(errors.New("?"))
	require.Equal(t, activities.Capped, decision.Verdict)
	require.Equal(t, "UNKNOWN", decision.Reason)
	require.Positive(t, decision.Tries)
}

func TestMessages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		how  trouble
		want string
	}{
		"message": {
			answer(simulator.Answer{Status: 404, Code: 10104, Message: "No access."}),
			"End failed: No access (HTTP 404, code 10104). " +
				"Give the integration user access to the MessagingSession record; then retry.",
		},
		"reason alone":   {reason("INTERNAL_ERROR"), "End failed: INTERNAL_ERROR (HTTP 200)."},
		"status alone":   {says(503, ""), "End failed: Service Unavailable (HTTP 503)."},
		"unknown status": {says(599, ""), "End failed: HTTP_599 (HTTP 599)."},
		"no reason": {
			says(200, `{"success":false}`),
			"End failed: success is false and no reason is given (HTTP 200). Ask Salesforce with the RequestId of the details.",
		},
		"no API": {
			says(200, "<html>Log in"),
			"End got no usable answer: malformed response: invalid character '<' looking for beginning of value: " +
				"<html>Log in (HTTP 200). This is not how the API answers: check the API base URL and the proxies on the way.",
		},
		"no token": {
			token(400, "invalid_grant", 0),
			"End was not sent: access token: HTTP 400, invalid_grant, no token for you. " +
				"Check the consumer key, the user name, the key or secret, and the connected app's policies.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 10*time.Second)
			c.how(l)
			require.Equal(t, c.want, attempt(t, l.do, conversation.End, request(), nil).failure.Message())
		})
	}
}

type apiFunc func(context.Context, interaction.Request) (interaction.Response, error)

func (f apiFunc) MessagingSession(ctx context.Context, r interaction.Request) (interaction.Response, error) {
	return f(ctx, r)
}

// echoes answers with the content of the request, in the given form.
func echoes(status int, form string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		content := r.Header.Get("Authorization") + " " + string(body)
		if form != "%s" {
			quoted, _ := json.Marshal(content)
			content = strings.Trim(string(quoted), `"`)
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, form, content)
	}
}
