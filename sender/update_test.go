package sender_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/temporaltest"
	"sessionkeeper/sender"
)

func TestCloseAndWait(t *testing.T) {
	past := &conversation.Outcome{Why: conversation.Idle, EndsEventsUntil: end, SessionID: session}
	for name, test := range map[string]struct {
		id    conversation.Identity
		run   *temporaltest.Run
		close conversation.Close
		// want is the expected Outcome.Why.
		want conversation.Why
	}{
		"none has run":                     {full, nil, conversation.Close{At: after}, conversation.Closed},
		"one runs":                         {full, &temporaltest.Run{}, conversation.Close{At: after}, conversation.Closed},
		"one runs, by its key":             {key, &temporaltest.Run{}, conversation.Close{At: after}, conversation.Closed},
		"ended since":                      {full, &temporaltest.Run{Ended: after, Outcome: past}, conversation.Close{At: before}, conversation.Idle},
		"ended since, by its key":          {key, &temporaltest.Run{Ended: after, Outcome: past}, conversation.Close{At: before}, conversation.Idle},
		"ended, asked without a time":      {full, &temporaltest.Run{Ended: after, Outcome: past}, conversation.Close{}, conversation.Idle},
		"ended, the same by its key":       {key, &temporaltest.Run{Ended: after, Outcome: past}, conversation.Close{}, conversation.Idle},
		"ended before, of that session":    {full, &temporaltest.Run{Ended: after, Outcome: past}, conversation.Close{At: after, SessionID: session}, conversation.Idle},
		"ended before":                     {full, &temporaltest.Run{Ended: after, Outcome: past}, conversation.Close{At: after}, conversation.Closed},
		"another session ended":            {full, &temporaltest.Run{Ended: after, Outcome: past}, conversation.Close{SessionID: otherSession}, conversation.Closed},
		"the last run failed, and later":   {full, &temporaltest.Run{Ended: end, Status: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED}, conversation.Close{At: before}, conversation.Closed},
		"the last run failed, and no time": {full, &temporaltest.Run{Ended: end, Status: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED}, conversation.Close{}, conversation.Closed},
	} {
		t.Run(name, func(t *testing.T) {
			server, s := start(t)
			if test.run != nil {
				test.run.WorkflowID = full.WorkflowID()
				server.SetLastRun(*test.run)
			}
			got, err := s.CloseAndWait(t.Context(), test.id, test.close)
			require.NoError(t, err)
			require.Equal(t, test.want, got.Why)
		})
	}
}

func TestCloseAndWaitByKeyNeedsAConversation(t *testing.T) {
	server, s := start(t)
	_, err := s.CloseAndWait(t.Context(), key, conversation.Close{})
	var missing *serviceerror.NotFound
	require.ErrorAs(t, err, &missing)
	require.ErrorContains(t, err, "close 00D000000000001:c1")

	// One that ended before the close is no answer to it.
	server.SetLastRun(temporaltest.Run{WorkflowID: key.WorkflowID(), Ended: end, Outcome: &conversation.Outcome{EndsEventsUntil: end}})
	_, err = s.CloseAndWait(t.Context(), key, conversation.Close{At: after})
	require.ErrorAs(t, err, &missing)
}

func TestCloseAndWaitAsksAgainWhenTheConversationWasCompleting(t *testing.T) {
	server, s := start(t)
	asked := 0
	server.Fail(func(method string) error {
		if method != "ExecuteMultiOperation" {
			return nil
		}
		if asked++; asked > 1 {
			return nil
		}
		return serviceerror.NewMultiOperationExecution("Update-with-Start could not be executed.", []error{
			serviceerror.NewMultiOperationAborted("Operation was aborted."),
			serviceerror.NewNotFound("workflow update was aborted by closing workflow"),
		})
	})
	server.SetLastRun(temporaltest.Run{WorkflowID: full.WorkflowID(), Ended: end, Outcome: &conversation.Outcome{Why: conversation.Idle, EndsEventsUntil: end}})
	got, err := s.CloseAndWait(t.Context(), full, conversation.Close{At: before})
	require.NoError(t, err)
	require.Equal(t, conversation.Idle, got.Why)
}

func TestCloseAndWaitReturnsTheErrorReason(t *testing.T) {
	server, s := start(t)
	server.SetCloseResult(func(string) (conversation.Outcome, error) {
		return conversation.Outcome{}, temporal.NewNonRetryableApplicationError("Blocked until …", "CHANNEL_ADDRESS_IS_INACTIVE", nil)
	})
	_, err := s.CloseAndWait(t.Context(), full, conversation.Close{})
	var refused *temporal.ApplicationError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "CHANNEL_ADDRESS_IS_INACTIVE", refused.Type())
}

// A close of a session that began while the one before it was being ended is sent to the
// run that ends it.
func TestCloseAndWaitFollowsToTheNextRun(t *testing.T) {
	for name, id := range map[string]conversation.Identity{"whole": full, "by its key": key} {
		t.Run(name, func(t *testing.T) {
			server, s := start(t)
			server.SetLastRun(temporaltest.Run{WorkflowID: full.WorkflowID()})
			asked := 0
			server.SetCloseResult(func(string) (conversation.Outcome, error) {
				if asked++; asked == 1 {
					return conversation.Outcome{}, temporal.NewApplicationError("in the next run", conversation.ErrorNextRun)
				}
				return conversation.Outcome{Why: conversation.Closed}, nil
			})
			got, err := s.CloseAndWait(t.Context(), id, conversation.Close{})
			require.NoError(t, err)
			require.Equal(t, conversation.Closed, got.Why)
			require.Equal(t, 2, asked)
		})
	}
}

func TestStatus(t *testing.T) {
	server, s := start(t)
	_, err := s.Status(t.Context(), key)
	var missing *serviceerror.NotFound
	require.ErrorAs(t, err, &missing)

	want := conversation.Status{Phase: conversation.Inactive, OrgID: key.OrgID, ConversationIdentifier: "c1", EndAt: end}
	server.SetLastRun(temporaltest.Run{WorkflowID: key.WorkflowID()})
	server.SetStatus(want)
	got, err := s.Status(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestRetry(t *testing.T) {
	server, s := start(t)
	var missing *serviceerror.NotFound
	require.ErrorAs(t, s.Retry(t.Context(), key), &missing)

	server.SetLastRun(temporaltest.Run{WorkflowID: key.WorkflowID()})
	require.NoError(t, s.Retry(t.Context(), key))
	require.Equal(t, conversation.SignalRetry, server.Calls()[1].Name)
}

// updating is a connection whose update completes when gate is closed.
type updating struct {
	*connection
	gate chan struct{}
}

type completed struct{ client.WorkflowUpdateHandle }

func (completed) Get(context.Context, any) error { return nil }

func (updating) NewWithStartWorkflowOperation(
	client.StartWorkflowOptions, any, ...any,
) client.WithStartWorkflowOperation {
	return nil
}

func (u updating) UpdateWithStartWorkflow(
	context.Context, client.UpdateWithStartWorkflowOptions,
) (client.WorkflowUpdateHandle, error) {
	<-u.gate
	return completed{}, nil
}

// A message after the close starts the next generation, which has its lease.
func TestCloseAndWaitKeepsALeaseOfAfterTheClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := updating{&connection{}, make(chan struct{})}
		s := sender.New(c, sender.Options{ID: "a"})
		var closing sync.WaitGroup
		closing.Go(func() {
			_, err := s.CloseAndWait(t.Context(), full, conversation.Close{})
			assert.NoError(t, err)
		})
		time.Sleep(time.Minute)
		writes(t, s, sender.Sent)
		close(c.gate)
		closing.Wait()
		time.Sleep(window)
		require.Equal(t, []string{"1m0s message+ of 1m0s for 5m", "5m54s message of 1m0s released"}, c.sent())
		require.NoError(t, s.Close(t.Context()))
	})
}
