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

func (d *door) state(t *testing.T, conversationIdentifier string) answer {
	t.Helper()
	return d.get(t, "/v1/conversations/00D000000000001/"+url.PathEscape(conversationIdentifier))
}

func TestTheStateTellsTheTimeLeft(t *testing.T) {
	d := open(t)
	now := time.Now()
	start := conversation.Status{
		OrgID: "00D000000000001", ConversationIdentifier: "c1", SessionID: session, StartedAt: now.Add(-time.Hour),
		LastMessageAt: now, Policy: conversation.Policy{}.WithDefaults(),
	}
	answered := &conversation.Answer{Operation: conversation.End, By: conversation.System, Reason: "NO_ACCESS", HTTPStatus: 400, Attempt: 1, At: now}
	for name, test := range map[string]struct {
		change            func(*conversation.Status)
		inactive, end     string
		without, contains string
	}{
		"active": {func(s *conversation.Status) {
			s.Phase, s.InactivateAt, s.LeaseUntil = conversation.Active, now.Add(4*time.Minute+12*time.Second), now.Add(time.Minute)
		}, "4m12s", "24h4m12s", `"endAt"`, `"leaseUntil"`},
		"active, left to Salesforce": {func(s *conversation.Status) {
			s.Phase, s.InactivateAt, s.Policy.EndAfter = conversation.Active, now.Add(10*time.Second), new(conversation.Duration(0))
		}, "10s", "", `"endIn"`, ""},
		"active for ever": {func(s *conversation.Status) { s.Phase = conversation.Active }, "", "", `"inactiveIn"`, ""},
		"about to be made inactive": {func(s *conversation.Status) {
			s.Phase, s.InactivateAt, s.Calling = conversation.Active, now.Add(-time.Minute), conversation.Inactivate
		}, "0s", "23h59m", "", `"calling":"Inactivate"`},
		"inactive": {func(s *conversation.Status) {
			s.Phase, s.EndAt = conversation.Inactive, now.Add(time.Hour)
		}, "", "1h", `"inactiveIn"`, ""},
		"blocked": {func(s *conversation.Status) {
			s.Phase, s.Blocked, s.LastAnswer, s.BlockedUntil = conversation.Blocked, answered, answered, now.Add(time.Hour)
		}, "", "", `"endIn"`, `"reason":"NO_ACCESS"`},
		"ended": {func(s *conversation.Status) {
			s.Phase, s.Outcome = conversation.Ended, &conversation.Outcome{Why: conversation.Idle, EndedBy: "System", At: now, EndsEventsUntil: now, Attempts: 2, LastAnswer: answered}
		}, "", "", `"endIn"`, `"why":"Idle"`},
	} {
		t.Run(name, func(t *testing.T) {
			status := start
			status.Policy = conversation.Policy{}.WithDefaults()
			test.change(&status)
			d.temporal.Ran(temporaltest.Run{WorkflowID: "00D000000000001:c1"})
			d.temporal.Stands(status)
			got := d.state(t, "c1")
			require.Equal(t, http.StatusOK, got.status, got.body)
			var said struct {
				conversation.Status
				InactiveIn, EndIn string
			}
			require.NoError(t, json.Unmarshal([]byte(got.body), &said))
			require.Equal(t, status.Phase, said.Phase)
			require.Contains(t, got.body, test.contains)
			if test.without != "" {
				require.NotContains(t, got.body, test.without)
			}
			near(t, test.inactive, said.InactiveIn)
			near(t, test.end, said.EndIn)
		})
	}
}

// near allows for the time that the test itself takes.
func near(t *testing.T, want, got string) {
	t.Helper()
	if want == "" {
		require.Empty(t, got)
		return
	}
	wanted, err := time.ParseDuration(want)
	require.NoError(t, err)
	left, err := time.ParseDuration(got)
	require.NoError(t, err)
	require.InDelta(t, wanted.Seconds(), left.Seconds(), 5)
}

func TestAnIdentifierMayHoldAnyCharacter(t *testing.T) {
	d := open(t)
	for _, id := range []string{"a/b", "..", ".", "a b", "100%", "a%2Fb", "?x=1#y", "a:b", "+15"} {
		d.temporal.Ran(temporaltest.Run{WorkflowID: "00D000000000001:" + id})
		d.temporal.Stands(conversation.Status{Phase: conversation.Active, OrgID: "00D000000000001", ConversationIdentifier: id})
		got := d.state(t, id)
		if id == ".." || id == "." {
			// PathEscape leaves dots alone; a client that sends them as they are is
			// sent elsewhere by every proxy.
			got = d.get(t, "/v1/conversations/00D000000000001/"+map[string]string{"..": "%2E%2E", ".": "%2E"}[id])
		}
		require.Equal(t, http.StatusOK, got.status, "%s: %s", id, got.body)
		calls := d.temporal.Calls()
		require.Equal(t, "00D000000000001:"+id, calls[len(calls)-1].WorkflowID)
	}
}

func TestAStateThatCannotBeTold(t *testing.T) {
	d := open(t, soon)
	got := d.state(t, "c1")
	require.Equal(t, http.StatusNotFound, got.status)
	got.problem(t)

	got = d.get(t, "/v1/conversations/00D000000000001AAA/%00")
	require.Equal(t, http.StatusBadRequest, got.status)
	p := got.problem(t)
	require.Len(t, p.Errors, 2)
	require.Equal(t, "orgId", p.Errors[0].Field)
	require.Equal(t, "conversationIdentifier", p.Errors[1].Field)
	require.Nil(t, p.Errors[0].Index)

	d.temporal.Fail(func(string) error { return serviceerror.NewPermissionDenied("no", "") })
	got = d.state(t, "c1")
	require.Equal(t, http.StatusBadGateway, got.status)
	got.problem(t)

	d.temporal.Fail(func(string) error {
		return serviceerror.NewFailedPrecondition("no poller seen for task queue recently, worker may be down")
	})
	got = d.state(t, "c1")
	require.Equal(t, http.StatusServiceUnavailable, got.status)

	d.temporal.Fail(func(string) error { return nil })
	d.temporal.Stop()
	got = d.state(t, "c1")
	require.Equal(t, http.StatusServiceUnavailable, got.status)
	require.NotEmpty(t, got.header.Get("Retry-After"))
	got.problem(t)
}
