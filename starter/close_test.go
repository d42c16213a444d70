package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/temporaltest"
)

func TestCloseWaitPrintsOutcome(t *testing.T) {
	server := temporaltest.Start(t)
	_, err := starter(t, server, "close", "-wait", workflowID)
	require.ErrorContains(t, err, "the conversation is not known: close 00D000000000001:c1")

	server.SetLastRun(temporaltest.Run{WorkflowID: workflowID})
	out, err := starter(t, server, "close", "-wait", workflowID)
	require.NoError(t, err)
	var outcome conversation.Outcome
	require.NoError(t, json.Unmarshal([]byte(out), &outcome))
	require.Equal(t, conversation.Closed, outcome.Why)

	server.SetCloseResult(func(string) (conversation.Outcome, error) {
		return conversation.Outcome{}, temporal.NewNonRetryableApplicationError(
			"the channel is inactive", "CHANNEL_ADDRESS_IS_INACTIVE", nil)
	})
	_, err = starter(t, server, "close", "-wait", workflowID)
	require.ErrorContains(t, err, "the channel is inactive")
	require.ErrorContains(t, err, "starter retry")
}
