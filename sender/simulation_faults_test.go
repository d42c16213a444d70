package sender_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/temporaltest"
	"sessionkeeper/sender"
)

// Each of these tests is a fault that the simulation found, as its shortest story.

// Two events see that the last run was cancelled. The first of them begins a run, which
// ends the session. The second one must not begin another run that ends it again.
func TestAnotherRunMayHaveCompletedMeanwhile(t *testing.T) {
	server, s := start(t)
	server.SetLastRun(temporaltest.Run{
		WorkflowID: full.WorkflowID(), Ended: end, Status: enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED,
	})
	signals := 0
	server.Fail(func(method string) error {
		if method == "SignalWithStartWorkflowExecution" {
			signals++
		}
		if signals == 2 {
			server.SetLastRun(temporaltest.Run{
				WorkflowID: full.WorkflowID(), Ended: after,
				Outcome: &conversation.Outcome{Why: conversation.Closed, SessionID: session, EndsEventsUntil: after},
			})
		}
		return nil
	})
	got, err := closed(t.Context(), s, after, session)
	require.NoError(t, err)
	require.Equal(t, sender.AlreadyOver, got)
	require.Equal(t, []enumspb.WorkflowIdReusePolicy{reject, failed}, reuses(server))
}

// No worker runs for a while. An event without a time gets the time of its report, not the
// time at which a worker sees it: by then the next session may have begun.
func TestEventWithoutATimeGetsTheTimeOfItsReport(t *testing.T) {
	for name, send := range map[string]sendFunc{
		conversation.SignalStart: started, conversation.SignalClose: closed,
		conversation.SignalSessionStatus: endedInSalesforce,
	} {
		t.Run(name, func(t *testing.T) {
			server, s := start(t)
			before := time.Now()
			for range 2 { // a start begins the workflow first
				_, err := send(t.Context(), s, time.Time{}, session)
				require.NoError(t, err)
			}
			calls := server.Calls()
			var event struct{ At time.Time }
			require.NoError(t, json.Unmarshal(calls[len(calls)-1].Payload, &event))
			require.WithinRange(t, event.At, before, time.Now())
		})
	}
}

// A cancelled workflow has ended the session before: the details of its cancellation are
// the outcome.
func TestOutcomeOfACanceledRun(t *testing.T) {
	server, s := start(t)
	server.SetLastRun(temporaltest.Run{
		WorkflowID: full.WorkflowID(), Ended: end, Status: enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED,
		Outcome: &conversation.Outcome{Why: conversation.Canceled, SessionID: session, EndsEventsUntil: end},
	})
	got, err := closed(t.Context(), s, after, session)
	require.NoError(t, err)
	require.Equal(t, sender.AlreadyOver, got)
}

// Salesforce answered only that the session is not active, so it may be Inactive. What is
// new begins the conversation again, and a close is still to be made.
func TestSessionThatMayBeInactive(t *testing.T) {
	outcome := &conversation.Outcome{
		Why: conversation.AlreadyOver, SessionID: session, StartedAt: end.Add(-time.Hour), EndsEventsUntil: end,
		LastAnswer: &conversation.Answer{Operation: conversation.Inactivate, NotActive: true},
	}
	for name, test := range map[string]struct {
		send    sendFunc
		at      time.Time
		session string
		want    sender.Receipt
	}{
		"a message that is new":              {message, after, session, sender.Sent},
		"a message that is not new":          {message, end, session, sender.AlreadyOver},
		"a close":                            {closed, before, session, sender.Sent},
		"an unnamed close":                   {closed, before, "", sender.Sent},
		"an unnamed close of one before":     {closed, end.Add(-2 * time.Hour), "", sender.AlreadyOver},
		"a close of one before, by its name": {closed, end.Add(-2 * time.Hour), otherSession, sender.AlreadyOver},
	} {
		t.Run(name, func(t *testing.T) {
			server, s := start(t)
			server.SetLastRun(temporaltest.Run{WorkflowID: full.WorkflowID(), Ended: after, Outcome: outcome})
			got, err := test.send(t.Context(), s, test.at, test.session)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
			if got == sender.Sent {
				var begun conversation.Start
				require.NoError(t, json.Unmarshal(server.Calls()[len(server.Calls())-1].Input, &begun))
				require.Equal(t, session, begun.SessionID, "an End without the id could end another session")
				require.Equal(t, outcome.StartedAt, begun.At)
			}
		})
	}
	server, s := start(t)
	server.SetLastRun(temporaltest.Run{WorkflowID: full.WorkflowID(), Ended: after, Outcome: outcome})
	id := full
	id.SessionID = session
	_, err := s.CloseAndWait(t.Context(), id, conversation.Close{})
	require.NoError(t, err)
	require.Equal(t, []enumspb.WorkflowIdReusePolicy{reject, allow}, reuses(server), "it was closed, not only looked up")
}

// A close without a session id is reported twice by a clock that is ahead. The time of the
// first one was cut to the clock of Temporal, so the second one looks later.
func TestRepeatedCloseByAClockAhead(t *testing.T) {
	server, s := start(t)
	server.SetLastRun(temporaltest.Run{
		WorkflowID: full.WorkflowID(), Ended: end,
		Outcome: &conversation.Outcome{
			Why: conversation.Closed, SessionID: session, StartedAt: end.Add(-time.Hour), EndsEventsUntil: end,
		},
	})
	got, err := closed(t.Context(), s, end.Add(2*time.Second), "")
	require.NoError(t, err)
	require.Equal(t, sender.AlreadyOver, got)
	got, err = closed(t.Context(), s, end.Add(6*time.Second), "")
	require.NoError(t, err)
	require.Equal(t, sender.Sent, got)
}
