package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/temporaltest"
)

func TestStatusPrintsTextOrJSON(t *testing.T) {
	server := temporaltest.Start(t)
	_, err := starter(t, server, "status", workflowID)
	require.ErrorContains(t, err, "the conversation is not known: status 00D000000000001:c1")

	status := conversation.Status{
		Phase: conversation.Blocked, OrgID: "00D000000000001", ConversationIdentifier: "c1",
		StartedAt: time.Now().Add(-time.Hour), BlockedUntil: time.Now().Add(time.Hour),
		Blocked: &conversation.Answer{Operation: conversation.End, Reason: "NO_ACCESS", Message: "ask an admin"},
	}
	server.SetLastRun(temporaltest.Run{WorkflowID: workflowID})
	server.SetStatus(status)
	out, err := starter(t, server, "status", workflowID)
	require.NoError(t, err)
	for _, want := range []string{
		"conversation   00D000000000001:c1\n", "phase          Blocked\n", "session        (not known)\n",
		"started        ", "ago)\n", "blocked by     NO_ACCESS: ask an admin\n", "fails at       ", "(in ",
	} {
		require.Contains(t, out, want)
	}
	require.NotContains(t, out, "last message", "there is none")

	out, err = starter(t, server, "status", workflowID, "--json")
	require.NoError(t, err)
	var read conversation.Status
	require.NoError(t, json.Unmarshal([]byte(out), &read))
	require.Equal(t, conversation.Blocked, read.Phase)
}

// Without a worker, the command prints what Temporal knows, and fails. What Salesforce
// sent cannot change the terminal.
func TestStatusWithoutAnAnswer(t *testing.T) {
	server := temporaltest.Start(t)
	server.SetLastRun(temporaltest.Run{WorkflowID: workflowID})
	server.SetStatus(conversation.Status{
		Phase: conversation.Active, OrgID: "00D000000000001", ConversationIdentifier: "c1", SessionStatus: "a\x1b[2J\nb",
	})
	out, err := starter(t, server, "status", workflowID)
	require.NoError(t, err)
	require.Contains(t, out, "session        (not known) a\uFFFD[2J\uFFFDb\n")

	server.Fail(func(method string) error {
		if method == "QueryWorkflow" {
			return serviceerror.NewFailedPrecondition("no poller seen for task queue recently, worker may be down")
		}
		return nil
	})
	out, err = starter(t, server, "status", workflowID)
	require.ErrorContains(t, err, "worker may be down")
	require.Equal(t, "conversation   00D000000000001:c1\nphase          (not known)\nworkflow       Running; it did not answer\n", out)
	out, err = starter(t, server, "status", "-json", workflowID)
	require.ErrorContains(t, err, "worker may be down")
	require.Empty(t, out)
}
