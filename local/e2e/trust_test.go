package e2e_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/zap"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/access"
	"sessionkeeper/internal/receiver"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
)

// api is a receiver for two tokens: one of the demo org, one of another org.
type api struct {
	t   *testing.T
	url string
}

const ownToken, foreignToken = "token-of-the-demo-org", "token-of-another-org"

func startReceiver(t *testing.T, s *stack.Stack, org string) api {
	t.Helper()
	line := func(name, token, org string) string {
		return fmt.Sprintf("- {name: %s, orgs: [%s], sha256: \"%x\"}\n", name, org, sha256.Sum256([]byte(token)))
	}
	tokens, err := access.ParseTokens(line("own", ownToken, org) + line("foreign", foreignToken, "00D000000000009"))
	require.NoError(t, err)
	started, ended := make(chan string, 1), make(chan error, 1)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() {
		ended <- receiver.Run(ctx, receiver.Options{
			Temporal: client.Options{HostPort: s.TemporalAddress, Namespace: stack.Namespace},
			Listener: access.Listener{Address: "127.0.0.1:0"}, MetricsListen: "127.0.0.1:0", Tokens: tokens, Logger: zap.NewNop(),
			Started: func(address, _ string) { started <- "http://" + address },
		})
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return api{t, <-started}
}

// do sends a request and returns the status and the body of the answer.
func (a api) do(token, method, path, body string) (int, string) {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), method, a.url+path, strings.NewReader(body))
	require.NoError(a.t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/cloudevents+json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(a.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(a.t, err)
	return response.StatusCode, string(text)
}

// post sends an event of a conversation.
func (a api) post(token, kind string, id conversation.Identity, by conversation.By) int {
	a.t.Helper()
	data, err := json.Marshal(struct {
		conversation.Identity
		By conversation.By `json:"by,omitempty"`
	}{id, by})
	require.NoError(a.t, err)
	status, _ := a.do(token, http.MethodPost, "/v1/events", fmt.Sprintf(`{"specversion":"1.0","id":"e","source":"/r",`+
		`"type":"sessionkeeper.conversation.%s","time":%q,"data":%s}`, kind, time.Now().Format(time.RFC3339Nano), data))
	return status
}

func conversationPath(id conversation.Identity) string {
	return "/v1/conversations/" + id.OrgID + "/" + id.ConversationIdentifier
}

// The holder of another org's token can neither end a session, nor read it, nor change
// who it is about.
func TestTokenOfAnotherOrgHasNoEffect(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	k := newTalk(t, s)
	a := startReceiver(t, s, k.id.OrgID)
	require.Equal(t, http.StatusAccepted, a.post(ownToken, "started", k.id, ""))
	k.untilPhase(conversation.Active)
	before := len(k.history(""))

	require.Equal(t, http.StatusForbidden, a.post(foreignToken, "closed", k.id, conversation.EndUser))
	require.Equal(t, http.StatusForbidden, a.post(foreignToken, "message", k.id, ""))
	other := k.id
	other.EndUserClientID = "somebody-else"
	require.Equal(t, http.StatusForbidden, a.post(foreignToken, "started", other, ""))
	status, body := a.do(foreignToken, http.MethodGet, conversationPath(k.id), "")
	require.Equal(t, http.StatusForbidden, status)
	require.NotContains(t, body, "Active")
	require.Len(t, k.history(""), before, "nothing reaches the conversation")
	require.Empty(t, k.calls())

	status, body = a.do(ownToken, http.MethodGet, conversationPath(k.id), "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"Active"`)
	require.Equal(t, http.StatusAccepted, a.post(ownToken, "closed", k.id, conversation.EndUser))
	require.Equal(t, conversation.Closed, k.ended().Why)
}

// Nor can the own org's token make a close concern somebody else, so that the session
// stays open and the close counts as done.
func TestCloseEndsTheSessionAfterAStartForSomebodyElse(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	k := newTalk(t, s)
	a := startReceiver(t, s, k.id.OrgID)
	require.Equal(t, http.StatusAccepted, a.post(ownToken, "started", k.id, ""))
	k.untilPhase(conversation.Active)
	other := k.id
	other.EndUserClientID, other.ChannelAddressIdentifier = "somebody-else", "another-channel"
	require.Equal(t, http.StatusAccepted, a.post(ownToken, "started", other, ""))
	require.Equal(t, http.StatusAccepted, a.post(ownToken, "closed", k.id, conversation.EndUser))
	require.Equal(t, conversation.Closed, k.ended().Why)
	require.Equal(t, "End", k.operations())
	session, ok := s.Sandbox.Session(k.id.OrgID, k.id.ConversationIdentifier)
	require.True(t, ok)
	require.Equal(t, simulator.StatusEnded, session.Status)
}

// A client of the namespace cannot call Salesforce by a workflow of its own: neither one
// of another type, nor a Conversation of another id.
func TestForeignWorkflowsCannotCall(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	k := newTalk(t, s)
	k.start(conversation.Policy{})
	foreign := worker.New(s.Temporal, "foreign", worker.Options{})
	call := func(ctx workflow.Context, r activities.Request) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			TaskQueue: conversation.DefaultTaskQueue, StartToCloseTimeout: time.Minute,
		})
		return workflow.ExecuteActivity(ctx, string(conversation.End), r).Get(ctx, nil)
	}
	foreign.RegisterWorkflowWithOptions(call, workflow.RegisterOptions{Name: "Foreign"})
	foreign.RegisterWorkflowWithOptions(call, workflow.RegisterOptions{Name: conversation.WorkflowType})
	require.NoError(t, foreign.Start())
	t.Cleanup(foreign.Stop)
	for workflowType, id := range map[string]string{
		"Foreign": k.id.WorkflowID() + "-foreign", conversation.WorkflowType: k.id.WorkflowID() + "-other",
	} {
		run, err := s.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: "foreign"},
			workflowType, activities.Request{Identity: k.id, By: conversation.System})
		require.NoError(t, err)
		var failure *temporal.ApplicationError
		require.ErrorAs(t, run.Get(t.Context(), nil), &failure)
		require.Equal(t, activities.ReasonForeignWorkflow, failure.Type())
	}
	require.Empty(t, k.calls())
}

// A client of the namespace cannot give a conversation a state.
func TestForgedCarriedStateHasNoEffect(t *testing.T) {
	t.Parallel()
	s := sharedStack(t)
	k := newTalk(t, s)
	forged, err := converter.GetDefaultDataConverter().ToPayload(map[string]any{
		"identity": k.id, "closing": conversation.Closing{By: conversation.EndUser, At: time.Now()},
		"sessionSince": time.Now(), "knownSince": time.Now(), "lastActivityAt": time.Now(), "receivedAt": time.Now(),
	})
	require.NoError(t, err)
	_, err = s.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: k.id.WorkflowID(), TaskQueue: conversation.DefaultTaskQueue,
	}, conversation.WorkflowType, conversation.Start{Identity: k.id, At: time.Now()}, converter.NewRawValue(forged))
	require.NoError(t, err)
	require.Nil(t, k.untilPhase(conversation.Active).Closing)
	require.Empty(t, k.calls())
	k.hangUp()
	require.Equal(t, conversation.Closed, k.ended().Why)
}
