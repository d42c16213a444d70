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
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/interaction"
	"sessionkeeper/sandbox/simulator"
)

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
	young := func(age time.Duration) activities.Request {
		r := request()
		r.KnownSince = time.Now().Add(-age)
		return r
	}
	for _, reason := range []string{"SESSION_NOT_FOUND", "ACTIVE_CONVERSATION_NOT_FOUND"} {
		t.Run("found by a later attempt: "+reason, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 10*time.Second)
			l.inject(fault(5, simulator.Answer{ErrorReason: reason}))
			got := attempts(t, l.do, conversation.Inactivate, young(0))
			require.Nil(t, got.failure)
			require.False(t, got.answer.AlreadyOver)
			require.False(t, got.answer.NotActive)
			require.Equal(t, 6, got.answer.Attempt)
		})
	}
	for age, began := range map[time.Duration][]int{
		0:                {0, 1, 3, 7, 15, 31, 63},
		30 * time.Second: {0, 1, 3, 7, 15, 31},
		58 * time.Second: {0, 1, 3},
		time.Minute:      {0},
	} {
		t.Run("counts as ended after a minute: "+age.String(), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 10*time.Second)
			l.inject(fault(0, notFound))
			got := attempts(t, l.do, conversation.Inactivate, young(age))
			require.Nil(t, got.failure)
			require.True(t, got.answer.AlreadyOver)
			require.Equal(t, "SESSION_NOT_FOUND", got.answer.Reason)
			var seconds []int
			for _, after := range got.began {
				seconds = append(seconds, int(after.Round(time.Second)/time.Second))
			}
			require.Equal(t, began, seconds)
		})
	}
	t.Run("tells the operator", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, 10*time.Second)
		l.inject(fault(0, notFound))
		got := attempt(t, l.do, conversation.End, young(0), nil)
		require.False(t, got.failure.NonRetryable())
		require.Equal(t, "SESSION_NOT_FOUND", got.failure.Type())
		require.Contains(t, got.failure.Message(), "less than a minute old")
	})
	// The session may be over by the attempt without an answer, or not known yet.
	t.Run("also if an earlier attempt may have succeeded", func(t *testing.T) {
		t.Parallel()
		l := newLab(t, 10*time.Second)
		l.inject(simulator.Fault{
			Endpoint: simulator.MessagingSessionEndpoint, Break: simulator.Reset, Process: true, Times: 1,
		})
		got := attempts(t, l.do, conversation.End, young(0))
		require.Nil(t, got.failure)
		require.True(t, got.answer.AlreadyOver)
		require.Equal(t, 7, got.answer.Attempt)
	})
	t.Run("also if an earlier attempt was interrupted", func(t *testing.T) {
		t.Parallel()
		calls := 0
		api := apiFunc(func(_ context.Context, r interaction.Request) (interaction.Response, error) {
			switch calls++; calls {
			case 1:
				panic("the worker crashes")
			case 2:
				return interaction.Response{}, &interaction.Error{
					Operation: r.Operation, HTTPStatus: 200, Reason: interaction.ReasonSessionNotFound,
				}
			}
			return interaction.Response{HTTPStatus: 200}, nil
		})
		got := attempts(t, newActivities(api), conversation.End, young(0))
		require.Nil(t, got.failure)
		require.False(t, got.answer.AlreadyOver)
		require.Equal(t, 3, got.answer.Attempt)
	})
}

func TestNotActiveIsNotOver(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]trouble{
		"reason": reason("ACTIVE_CONVERSATION_NOT_FOUND"),
		"code":   code(10025, 404),
		"symbol": answer(simulator.Answer{Status: 404, Symbol: "ACTIVE_CONVERSATION_NOT_FOUND"}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 10*time.Second)
			how(l)
			got := attempt(t, l.do, conversation.Inactivate, request(), nil).answer
			require.Equal(t, []bool{true, false}, []bool{got.NotActive, got.AlreadyOver})
			got = attempt(t, l.do, conversation.End, request(), nil).answer
			require.Equal(t, []bool{false, true}, []bool{got.NotActive, got.AlreadyOver})
		})
	}
}

func TestHeartbeatDetails(t *testing.T) {
	t.Parallel()
	earlier := time.Now().Add(-time.Minute).UTC()
	for name, c := range map[string]struct {
		how           trouble
		before, after *progress
	}{
		"none after success": {func(*lab) {}, nil, nil},
		"none after done":    {reason("SESSION_NOT_FOUND"), nil, nil},
		"a retry":            {status(503), nil, &progress{}},
		"a retry keeps the rest": {
			status(503),
			&progress{Capped: 2, FailingSince: earlier, Signalled: true},
			&progress{Capped: 2, FailingSince: earlier, Signalled: true},
		},
		"a capped failure is counted": {
			reason("CUSTOMER_ERROR"), &progress{Capped: 1, FailingSince: earlier},
			&progress{Capped: 2, FailingSince: earlier},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 10*time.Second)
			c.how(l)
			got := attempt(t, l.do, conversation.End, request(), c.before)
			if c.after != nil && c.before == nil {
				c.after.FailingSince = got.answer.At
			}
			if got.heartbeat != nil {
				got.heartbeat.Turn = time.Time{} // TestRateLimitedCallWaitsForItsTurn checks it
			}
			require.Equal(t, c.after, got.heartbeat)
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
	name := workflowID + "/default-test-run-id/" + activityID + "/"
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
	around := &surroundings{now: time.Now, workflowID: workflowID}
	env := around.suite().NewTestActivityEnvironment()
	options := around.options()
	options.BackgroundActivityContext = ctx
	env.SetWorkerOptions(options)
	env.RegisterActivity(newActivities(client))
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

// Any client of the namespace can start a workflow that names the worker's task queue.
func TestOnlyTheConversationMayCall(t *testing.T) {
	t.Parallel()
	for name, around := range map[string]*surroundings{
		"another workflow type": {workflowType: "Foreign"},
		"another conversation":  {workflowID: orgID + ":conv-2"},
		"another org":           {workflowID: "00D000000000002:conv-1"},
	} {
		for _, op := range operations {
			l := newLab(t, 10*time.Second)
			around.now = time.Now
			got := attemptIn(t, around, around.options(), l.do, op, request(), nil)
			require.NotNil(t, got.failure, name)
			require.True(t, got.failure.NonRetryable(), name)
			require.Equal(t, "FOREIGN_WORKFLOW", got.failure.Type(), name)
			require.Empty(t, l.Journal(), "no request is sent, not even for a token")
		}
	}
}
