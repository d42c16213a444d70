package e2e_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
	"sessionkeeper/sender"
)

func TestRetried(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]simulator.Fault{
		"please retry": {Times: 2, Answer: &simulator.Answer{ErrorReason: "CONVERSATION_PRECONDITION_FAILED"}},
		"unavailable":  {Times: 2, Answer: &simulator.Answer{Status: 503}},
		"reset":        {Times: 2, Break: simulator.Reset},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newTalk(t, sharedStack(t))
			k.fault(f)
			k.start(conversation.Policy{})
			k.hangUp()
			outcome := k.ended()
			require.Equal(t, conversation.Closed, outcome.Why)
			require.Equal(t, 3, outcome.Attempts)
			require.Equal(t, "End End End", k.operations())
			require.True(t, k.calls()[2].Success)
			require.Equal(t, k.calls()[2].RequestID, outcome.LastAnswer.RequestID)
		})
	}
}

// A call that Salesforce carried out but could not answer in time is not done
// twice.
func TestTimeout(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	k.fault(simulator.Fault{Times: 1, Process: true, Latency: simulator.Duration(time.Minute)})
	k.start(conversation.Policy{})
	k.hangUp()
	outcome := k.ended()
	require.Equal(t, conversation.Closed, outcome.Why)
	require.Equal(t, 2, outcome.Attempts)
	require.True(t, outcome.LastAnswer.AlreadyOver, "the first attempt had done it")
	require.Equal(t, simulator.LostClientGone, k.calls()[0].Lost)
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	k.answers(1, simulator.Answer{Status: 429, RetryAfter: simulator.Duration(4 * time.Second)})
	k.start(conversation.Policy{})
	k.hangUp()
	require.Equal(t, 2, k.ended().Attempts)
	calls := k.calls()
	require.GreaterOrEqual(t, calls[1].ReceivedAt.Sub(calls[0].AnsweredAt), 4*time.Second)
}

// The bound of a capped failure counts over attempts that fail otherwise.
func TestCapped(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	capped := simulator.Answer{ErrorReason: "END_SESSION_FAILED"}
	k.answers(1, capped)
	k.answers(1, simulator.Answer{ErrorReason: "INTERNAL_ERROR"})
	k.answers(0, capped)
	k.start(conversation.Policy{})
	k.hangUp()

	var left struct{ Attempt, Capped int }
	until(t, "the third attempt has left its count", func() bool {
		for _, pending := range k.describe().GetPendingActivities() {
			if details := pending.GetHeartbeatDetails().GetPayloads(); len(details) == 1 {
				require.NoError(t, json.Unmarshal(details[0].GetData(), &left))
			}
		}
		return left.Attempt == 3
	})
	require.Equal(t, 2, left.Capped, "of three attempts one failed otherwise")

	k.forward(10 * time.Minute)
	blocked := k.untilPhase(conversation.Blocked).Blocked
	require.Equal(t, "END_SESSION_FAILED", blocked.Reason)
	require.Equal(t, 6, blocked.Attempt, "five tries and one of another kind")
	require.Len(t, k.calls(), 6)
	require.Contains(t, blocked.Message, "Given up after 5 tries")
}

func TestDone(t *testing.T) {
	t.Parallel()
	long := time.Now().Add(-2 * time.Minute)
	over := func(s *simulator.Session) { s.Status = simulator.StatusEnded }
	t.Run("Inactivate", func(t *testing.T) {
		t.Parallel()
		k := newTalk(t, sharedStack(t), over)
		k.startAt(long, quick)
		outcome := k.ended()
		require.Equal(t, conversation.AlreadyOver, outcome.Why)
		require.Equal(t, "SESSION_NOT_FOUND", outcome.LastAnswer.Reason)
		require.Equal(t, "Inactivate", k.operations())
	})
	t.Run("End", func(t *testing.T) {
		t.Parallel()
		k := newTalk(t, sharedStack(t), over)
		k.startAt(long, conversation.Policy{})
		k.hangUp()
		outcome := k.ended()
		require.Equal(t, conversation.Closed, outcome.Why)
		require.True(t, outcome.LastAnswer.AlreadyOver)
		require.Equal(t, "End", k.operations())
	})
}

// Salesforce may not have a session yet that was just created.
func TestNotFoundRightAfterTheStart(t *testing.T) {
	t.Parallel()
	t.Run("and found", func(t *testing.T) {
		t.Parallel()
		k := newTalk(t, sharedStack(t))
		k.answers(2, simulator.Answer{ErrorReason: "ACTIVE_CONVERSATION_NOT_FOUND"})
		k.start(conversation.Policy{})
		k.hangUp()
		outcome := k.ended()
		require.False(t, outcome.LastAnswer.AlreadyOver)
		require.Equal(t, 3, outcome.Attempts)
		session, _ := k.s.Sandbox.Session(k.id.OrgID, k.id.ConversationIdentifier)
		require.Equal(t, simulator.StatusEnded, session.Status)
	})
	t.Run("and never found", func(t *testing.T) {
		t.Parallel()
		k := newTalk(t, sharedStack(t), func(s *simulator.Session) { s.AppearsAfter = simulator.Duration(time.Hour) })
		k.start(conversation.Policy{})
		k.hangUp()
		outcome := k.ended()
		require.True(t, outcome.LastAnswer.AlreadyOver)
		require.Equal(t, 4, outcome.Attempts)
	})
}

// A conversation that needs an operator shows as such, listens, and goes on
// when he says so.
func TestOperator(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	const reason = "NO_ACCESS" // of this test alone: all that are Blocked by it are retried
	fault := k.answers(0, simulator.Answer{ErrorReason: reason})
	k.start(conversation.Policy{})
	k.hangUp()
	status := k.untilPhase(conversation.Blocked)
	require.Equal(t, reason, status.Blocked.Reason)
	require.InDelta(t, conversation.DefaultBlockedFor, time.Until(status.BlockedUntil), float64(patience))
	query := "SessionPhase = 'Blocked' AND ErrorReason = '" + reason + "' AND OrgId = '" + k.id.OrgID + "'"
	until(t, "a visibility query finds it", func() bool { return len(visible(t, k.s.Temporal, query)) == 1 })

	told, err := k.RetryBlocked(t.Context(), sender.BlockedFilter{ErrorReason: "ORG_NOT_FOUND"})
	require.NoError(t, err)
	require.Zero(t, told, "another reason")
	require.Len(t, k.calls(), 1, "it is not retried by itself")

	require.True(t, k.s.Sandbox.RemoveFault(fault))
	told, err = k.RetryBlocked(t.Context(), sender.BlockedFilter{OrgID: k.id.OrgID, ErrorReason: reason})
	require.NoError(t, err)
	require.Equal(t, 1, told)
	require.Equal(t, conversation.Closed, k.ended().Why)
	require.Equal(t, "Active Blocked Active Ended", k.phases(""))
	until(t, "nobody finds it any more", func() bool { return len(visible(t, k.s.Temporal, query)) == 0 })
}

func TestUnauthorizedTwice(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	k.answers(2, simulator.Answer{Status: 401, Code: 10004})
	k.start(conversation.Policy{})
	k.hangUp()
	blocked := k.untilPhase(conversation.Blocked).Blocked
	require.Equal(t, "UNAUTHORIZED", blocked.Reason)
	require.Equal(t, 1, blocked.Attempt, "both within one attempt")
	require.Len(t, k.calls(), 2)
	require.NoError(t, k.Retry(t.Context(), k.id))
	require.Equal(t, conversation.Closed, k.ended().Why)
}

func TestTokenFailures(t *testing.T) {
	t.Parallel()
	token := func(t *testing.T, times int, a simulator.Answer) *talk {
		k := newTalk(t, ownStack(t, stack.Options{}))
		_, err := k.s.Sandbox.Inject(simulator.Fault{Endpoint: simulator.TokenEndpoint, Times: times, Answer: &a})
		require.NoError(t, err)
		k.start(conversation.Policy{})
		k.hangUp()
		return k
	}
	t.Run("away", func(t *testing.T) {
		t.Parallel()
		k := token(t, 2, simulator.Answer{Status: 503})
		require.Equal(t, 3, k.ended().Attempts)
		require.Len(t, k.calls(), 1, "without a token no call is made")
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		k := token(t, 1, simulator.Answer{Status: 400, Symbol: "invalid_grant", Message: "user hasn't approved this consumer"})
		blocked := k.untilPhase(conversation.Blocked).Blocked
		require.Equal(t, "TOKEN_INVALID_GRANT", blocked.Reason)
		require.Contains(t, blocked.Message, "user hasn't approved this consumer")
		require.Empty(t, k.calls())
		require.NoError(t, k.Retry(t.Context(), k.id))
		require.Equal(t, conversation.Closed, k.ended().Why)
	})
}

// Nothing is silently dropped: what nobody repaired shows as failed.
func TestBlockedForEver(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	k.answers(0, simulator.Answer{ErrorReason: "END_USER_NOT_FOUND"})
	k.start(conversation.Policy{})
	k.hangUp()
	k.untilPhase(conversation.Blocked)
	k.forward(71 * time.Hour)
	require.Equal(t, conversation.Blocked, k.status().Phase)
	k.forward(2 * time.Hour)

	var failure *temporal.ApplicationError
	require.ErrorAs(t, k.result(nil), &failure)
	require.Equal(t, "END_USER_NOT_FOUND", failure.Type())
	var answer conversation.Answer
	require.NoError(t, failure.Details(&answer))
	require.Equal(t, k.calls()[0].RequestID, answer.RequestID)
	info := k.describe().GetWorkflowExecutionInfo()
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, info.GetStatus())
	require.Len(t, k.calls(), 1)
}
