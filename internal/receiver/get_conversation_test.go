package receiver_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/temporaltest"
)

func (srv *testServer) getStatus(t *testing.T, conversationIdentifier string) httpResponse {
	t.Helper()
	return srv.get(t, "/v1/conversations/00D000000000001/"+url.PathEscape(conversationIdentifier))
}

func TestStatusContainsTimeLeft(t *testing.T) {
	srv := startServer(t)
	now := time.Now()
	start := conversation.Status{
		OrgID: "00D000000000001", ConversationIdentifier: "c1", SessionID: session, StartedAt: now.Add(-time.Hour),
		LastMessageAt: now, Policy: conversation.Policy{}.WithDefaults(),
	}
	answer := &conversation.Answer{
		Operation: conversation.End, By: conversation.System, Reason: "NO_ACCESS", HTTPStatus: 400, Attempt: 1, At: now,
	}
	for name, test := range map[string]struct {
		change            func(*conversation.Status)
		inactive, end     string
		without, contains string
	}{
		"active": {func(s *conversation.Status) {
			s.Phase, s.LeaseUntil = conversation.Active, now.Add(time.Minute)
			s.InactivateAt = now.Add(4*time.Minute + 12*time.Second)
		}, "4m12s", "24h4m12s", `"endAt"`, `"leaseUntil"`},
		"active, never ended": {func(s *conversation.Status) {
			s.Phase, s.InactivateAt = conversation.Active, now.Add(10*time.Second)
			s.Policy.EndAfter = new(conversation.Duration(0))
		}, "10s", "", `"endIn"`, ""},
		"active, never inactive": {func(s *conversation.Status) {
			s.Phase = conversation.Active
		}, "", "", `"inactiveIn"`, ""},
		"Inactivate in flight": {func(s *conversation.Status) {
			s.Phase, s.InactivateAt, s.Calling = conversation.Active, now.Add(-time.Minute), conversation.Inactivate
		}, "0s", "23h59m", "", `"calling":"Inactivate"`},
		"inactive": {func(s *conversation.Status) {
			s.Phase, s.EndAt = conversation.Inactive, now.Add(time.Hour)
		}, "", "1h", `"inactiveIn"`, ""},
		"blocked": {func(s *conversation.Status) {
			s.Phase, s.Blocked, s.LastAnswer, s.BlockedUntil = conversation.Blocked, answer, answer, now.Add(time.Hour)
		}, "", "", `"endIn"`, `"reason":"NO_ACCESS"`},
		"ended": {func(s *conversation.Status) {
			s.Phase, s.Outcome = conversation.Ended, &conversation.Outcome{
				Why: conversation.Idle, EndedBy: "System", At: now, EndsEventsUntil: now, Attempts: 2, LastAnswer: answer,
			}
		}, "", "", `"endIn"`, `"why":"Idle"`},
	} {
		t.Run(name, func(t *testing.T) {
			status := start
			status.Policy = conversation.Policy{}.WithDefaults()
			test.change(&status)
			srv.temporal.SetLastRun(temporaltest.Run{WorkflowID: "00D000000000001:c1"})
			srv.temporal.SetStatus(status)
			got := srv.getStatus(t, "c1")
			require.Equal(t, http.StatusOK, got.status, got.body)
			var body struct {
				conversation.Status
				InactiveIn, EndIn string
			}
			require.NoError(t, json.Unmarshal([]byte(got.body), &body))
			require.Equal(t, status.Phase, body.Phase)
			require.Contains(t, got.body, test.contains)
			if test.without != "" {
				require.NotContains(t, got.body, test.without)
			}
			requireNear(t, test.inactive, body.InactiveIn)
			requireNear(t, test.end, body.EndIn)
		})
	}
}

// requireNear allows for the time that the test itself takes.
func requireNear(t *testing.T, want, got string) {
	t.Helper()
	if want == "" {
		require.Empty(t, got)
		return
	}
	expected, err := time.ParseDuration(want)
	require.NoError(t, err)
	actual, err := time.ParseDuration(got)
	require.NoError(t, err)
	require.InDelta(t, expected.Seconds(), actual.Seconds(), 5)
}

func TestIdentifierMayContainAnyCharacter(t *testing.T) {
	srv := startServer(t)
	for _, id := range []string{"a/b", "..", ".", "a b", "100%", "a%2Fb", "?x=1#y", "a:b", "+15"} {
		srv.temporal.SetLastRun(temporaltest.Run{WorkflowID: "00D000000000001:" + id})
		srv.temporal.SetStatus(conversation.Status{
			Phase: conversation.Active, OrgID: "00D000000000001", ConversationIdentifier: id, StartedAt: time.Unix(0, 0),
		})
		got := srv.getStatus(t, id)
		if id == ".." || id == "." {
			// PathEscape does not escape dots, and clients and proxies resolve a path
			// with them before it reaches the server.
			got = srv.get(t, "/v1/conversations/00D000000000001/"+map[string]string{"..": "%2E%2E", ".": "%2E"}[id])
		}
		require.Equal(t, http.StatusOK, got.status, "%s: %s", id, got.body)
		calls := srv.temporal.Calls()
		require.Equal(t, "00D000000000001:"+id, calls[len(calls)-1].WorkflowID)
	}
}

func TestStatusErrors(t *testing.T) {
	srv := startServer(t, shortAccept)
	got := srv.getStatus(t, "c1")
	require.Equal(t, http.StatusNotFound, got.status)
	got.problem(t)

	got = srv.get(t, "/v1/conversations/00D000000000001AAA/%00")
	require.Equal(t, http.StatusBadRequest, got.status)
	p := got.problem(t)
	require.Len(t, p.Errors, 2)
	require.Equal(t, "orgId", p.Errors[0].Field)
	require.Equal(t, "conversationIdentifier", p.Errors[1].Field)
	require.Nil(t, p.Errors[0].Index)

	srv.temporal.Fail(func(string) error { return serviceerror.NewPermissionDenied("no", "") })
	got = srv.getStatus(t, "c1")
	require.Equal(t, http.StatusBadGateway, got.status)
	got.problem(t)

	srv.temporal.Fail(func(string) error {
		return serviceerror.NewFailedPrecondition("no poller seen for task queue recently, worker may be down")
	})
	got = srv.getStatus(t, "c1")
	require.Equal(t, http.StatusServiceUnavailable, got.status)

	srv.temporal.Fail(func(string) error { return nil })
	srv.temporal.Stop()
	got = srv.getStatus(t, "c1")
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	got.problem(t)
}
