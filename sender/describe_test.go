package sender_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/types/known/timestamppb"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/temporaltest"
	"sessionkeeper/sender"
)

func applicationFailure(reason, message string) *failurepb.Failure {
	return &failurepb.Failure{Message: message, FailureInfo: &failurepb.Failure_ApplicationFailureInfo{
		ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: reason, NonRetryable: true},
	}}
}

// The status has what Temporal knows of the pending call.
func TestDescribeRetrying(t *testing.T) {
	next := time.Now().Add(time.Minute).UTC()
	since := next.Add(-time.Hour)
	pending := func(state enumspb.PendingActivityState, failure *failurepb.Failure) *workflowpb.PendingActivityInfo {
		return &workflowpb.PendingActivityInfo{
			ActivityType: &commonpb.ActivityType{Name: "End"}, State: state, Attempt: 4, LastFailure: failure,
			NextAttemptScheduleTime: timestamppb.New(next),
		}
	}
	const scheduled, started = enumspb.PENDING_ACTIVITY_STATE_SCHEDULED, enumspb.PENDING_ACTIVITY_STATE_STARTED
	const cancelled = enumspb.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED
	busy := applicationFailure("HTTP_500", "busy")
	timeout := &failurepb.Failure{FailureInfo: &failurepb.Failure_TimeoutFailureInfo{
		TimeoutFailureInfo: &failurepb.TimeoutFailureInfo{},
	}}
	waits := sender.Retrying{Operation: conversation.End, Attempt: 4, LastReason: "HTTP_500", NextTryAt: next, Since: since}
	for name, test := range map[string]struct {
		pending []*workflowpb.PendingActivityInfo
		failing bool
		want    *sender.Retrying
	}{
		"no call":       {nil, false, nil},
		"first attempt": {[]*workflowpb.PendingActivityInfo{pending(started, nil)}, false, nil},
		"it waits":      {[]*workflowpb.PendingActivityInfo{pending(scheduled, busy)}, true, &waits},
		"an attempt runs": {
			[]*workflowpb.PendingActivityInfo{pending(started, timeout)},
			false,
			&sender.Retrying{Operation: conversation.End, Attempt: 4, LastReason: "TIMEOUT"},
		},
		"it waits for its org": {
			[]*workflowpb.PendingActivityInfo{pending(scheduled, applicationFailure("WAITS_FOR_ORG_PAUSED", "maintenance"))},
			false,
			&sender.Retrying{
				Operation: conversation.End, Attempt: 4, LastReason: "WAITS_FOR_ORG_PAUSED", WaitsForOrg: true, NextTryAt: next,
			},
		},
		"it is cancelled": {[]*workflowpb.PendingActivityInfo{pending(cancelled, busy)}, false, nil},
		"another is cancelled": {
			[]*workflowpb.PendingActivityInfo{pending(scheduled, busy), pending(cancelled, timeout)}, true, &waits,
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, s := start(t)
			server.SetLastRun(temporaltest.Run{WorkflowID: full.WorkflowID(), Pending: test.pending})
			status := conversation.Status{Phase: conversation.Active, InactivateAt: next}
			if test.failing {
				status.Failing = &conversation.CallFailing{Since: since, Answer: conversation.Answer{At: since}}
			}
			server.SetStatus(status)
			got, err := s.Describe(t.Context(), full)
			require.NoError(t, err)
			require.NoError(t, got.NoAnswer)
			require.Equal(t, test.want, got.Retrying)
			require.Equal(t, "Running", got.Execution)
			require.False(t, got.IsOver())
			require.Equal(t, next, got.InactivateAt)
			require.Nil(t, got.Failure)
		})
	}
}

// A workflow that stopped early shows why, and no time that will not come true.
func TestDescribeWhatStoppedEarly(t *testing.T) {
	server, s := start(t)
	server.SetLastRun(temporaltest.Run{
		WorkflowID: full.WorkflowID(), Status: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, Ended: time.Now(),
		Failure: applicationFailure(strings.Repeat("R", 300), strings.Repeat("m", 2000)),
	})
	server.SetStatus(conversation.Status{
		Phase: conversation.Blocked, InactivateAt: time.Now(), EndAt: time.Now(), LeaseUntil: time.Now(),
		BlockedUntil: time.Now(), Calling: conversation.End,
	})
	got, err := s.Describe(t.Context(), full)
	require.NoError(t, err)
	require.True(t, got.IsOver())
	require.Equal(t, strings.Repeat("R", 240), got.Failure.Reason)
	require.Len(t, got.Failure.Message, 1000)
	require.Equal(t, conversation.Status{Phase: conversation.Blocked}, got.Status)
}

// Without an answer of the workflow, the status has what Temporal has recorded.
func TestDescribeWithoutAnAnswer(t *testing.T) {
	server, s := start(t)
	_, err := s.Describe(t.Context(), conversation.Identity{OrgID: "00D"})
	require.ErrorContains(t, err, "status: invalid: orgId")
	_, err = s.Describe(t.Context(), full)
	require.ErrorAs(t, err, new(*serviceerror.NotFound))

	phase, err := converter.GetDefaultDataConverter().ToPayload("Inactive")
	require.NoError(t, err)
	server.SetLastRun(temporaltest.Run{WorkflowID: full.WorkflowID(), SearchAttributes: &commonpb.SearchAttributes{
		IndexedFields: map[string]*commonpb.Payload{"SessionPhase": phase},
	}})
	server.Fail(func(method string) error {
		if method == "QueryWorkflow" {
			return serviceerror.NewFailedPrecondition("worker may be down")
		}
		return nil
	})
	got, err := s.Describe(t.Context(), full)
	require.NoError(t, err)
	require.ErrorContains(t, got.NoAnswer, "worker may be down")
	require.Equal(t, conversation.Status{
		Phase: conversation.Inactive, OrgID: full.OrgID, ConversationIdentifier: full.ConversationIdentifier,
	}, got.Status)
	_, err = s.BeginAgain(t.Context(), full)
	require.ErrorContains(t, err, "has not stopped early")
}
