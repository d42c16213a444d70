package e2e_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
)

func TestFailedCallIsRetried(t *testing.T) {
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

// A call that Salesforce processed but did not answer in time is found to be done
// by the next attempt.
func TestUnansweredCallIsFoundDone(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	k.fault(simulator.Fault{Times: 1, Process: true, Latency: simulator.Duration(time.Minute)})
	k.start(conversation.Policy{})
	k.hangUp()
	outcome := k.ended()
	require.Equal(t, conversation.Closed, outcome.Why)
	require.Greater(t, outcome.Attempts, 2, "for a minute Salesforce may not have the session yet")
	require.True(t, outcome.LastAnswer.AlreadyOver, "the first attempt had ended the session")
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

// Failures of a capped kind are counted also when another failure comes between
// them.
func TestCappedFailureIsGivenUp(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	capped := simulator.Answer{ErrorReason: "END_SESSION_FAILED"}
	k.answers(1, capped)
	k.answers(1, simulator.Answer{ErrorReason: "INTERNAL_ERROR"})
	k.answers(0, capped)
	k.start(conversation.Policy{})
	k.hangUp()

	var counted struct{ Capped int }
	until(t, "the third attempt has recorded its count", func() bool {
		for _, pending := range k.describe().GetPendingActivities() {
			if details := pending.GetHeartbeatDetails().GetPayloads(); len(details) == 1 {
				require.NoError(t, json.Unmarshal(details[0].GetData(), &counted))
			}
		}
		return counted.Capped == 2
	})
	require.GreaterOrEqual(t, len(k.calls()), 3, "one of three attempts failed in another way")

	k.forward(10 * time.Minute)
	blocked := k.untilPhase(conversation.Blocked).Blocked
	require.Equal(t, "END_SESSION_FAILED", blocked.Reason)
	require.Equal(t, 6, blocked.Attempt, "five capped failures and one of another kind")
	require.Len(t, k.calls(), 6)
	require.Contains(t, blocked.Message, "Given up after 5 tries")
}

func TestSessionThatHadEndedAlready(t *testing.T) {
	t.Parallel()
	// For a minute Salesforce may not have the session yet.
	distinct := func(k *talk) string { return strings.Join(slices.Compact(strings.Fields(k.operations())), " ") }
	ended := func(s *simulator.Session) { s.Status = simulator.StatusEnded }
	t.Run("Inactivate", func(t *testing.T) {
		t.Parallel()
		k := newTalk(t, sharedStack(t), ended)
		k.start(quick)
		outcome := k.ended()
		require.Equal(t, conversation.AlreadyOver, outcome.Why)
		require.Equal(t, "SESSION_NOT_FOUND", outcome.LastAnswer.Reason)
		require.Equal(t, "Inactivate", distinct(k))
	})
	t.Run("End", func(t *testing.T) {
		t.Parallel()
		k := newTalk(t, sharedStack(t), ended)
		k.start(conversation.Policy{})
		k.hangUp()
		outcome := k.ended()
		require.Equal(t, conversation.Closed, outcome.Why)
		require.True(t, outcome.LastAnswer.AlreadyOver)
		require.Equal(t, "End", distinct(k))
	})
}

// Right after the start, Salesforce may not have the session yet.
func TestSessionNotFoundRightAfterTheStart(t *testing.T) {
	t.Parallel()
	t.Run("found later", func(t *testing.T) {
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
	t.Run("never found", func(t *testing.T) {
		t.Parallel()
		k := newTalk(t, sharedStack(t), func(s *simulator.Session) { s.AppearsAfter = simulator.Duration(time.Hour) })
		k.start(conversation.Policy{})
		k.hangUp()
		outcome := k.ended()
		require.True(t, outcome.LastAnswer.AlreadyOver)
		require.Greater(t, outcome.Attempts, 4)
	})
}

// A conversation that needs an operator is listed as Blocked and continues when
// the operator retries it.
func TestOperatorRetriesBlockedConversations(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	const reason = "NO_ACCESS" // of this test only, because every conversation Blocked by it is retried
	fault := k.answers(0, simulator.Answer{ErrorReason: reason})
	k.start(conversation.Policy{})
	k.hangUp()
	status := k.untilPhase(conversation.Blocked)
	require.Equal(t, reason, status.Blocked.Reason)
	require.InDelta(t, conversation.DefaultBlockedFor, time.Until(status.BlockedUntil), float64(waitLimit))
	query := "SessionPhase = 'Blocked' AND ErrorReason = '" + reason + "' AND OrgId = '" + k.id.OrgID + "'"
	until(t, "a visibility query finds it", func() bool { return len(visible(t, k.s.Temporal, query)) == 1 })

	starter := func(args ...string) string {
		return succeed(t, k.s.TemporalAddress, "starter", append([]string{"retry", "-blocked"}, args...)...)
	}
	require.Equal(t, "0 Blocked conversations match.\n", starter("-reason", "NO_SUCH_REASON"))
	require.Equal(t, "1 Blocked conversations match.\n", starter("-reason", reason, "-count"))
	require.Len(t, k.calls(), 1, "it is not retried by itself")

	require.True(t, k.s.Sandbox.RemoveFault(fault))
	require.Contains(t, starter("-org", k.id.OrgID, "-reason", reason), "\n1 retried, 0 had ended in the meantime or failed.\n")
	require.Equal(t, conversation.Closed, k.ended().Why)
	require.Equal(t, "Active Blocked Active Ended", k.phases(""))
	until(t, "the query finds it no more", func() bool { return len(visible(t, k.s.Temporal, query)) == 0 })
}

func TestUnauthorizedWithANewTokenIsBlocked(t *testing.T) {
	t.Parallel()
	k := newTalk(t, sharedStack(t))
	k.answers(2, simulator.Answer{Status: 401, Code: 10004})
	k.start(conversation.Policy{})
	k.hangUp()
	blocked := k.untilPhase(conversation.Blocked).Blocked
	require.Equal(t, "UNAUTHORIZED", blocked.Reason)
	require.Equal(t, 1, blocked.Attempt, "both calls are one attempt")
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
	t.Run("unavailable", func(t *testing.T) {
		t.Parallel()
		k := token(t, 2, simulator.Answer{Status: 503})
		require.Equal(t, 3, k.ended().Attempts)
		require.Len(t, k.calls(), 1, "without a token no call is made")
	})
	t.Run("rejected", func(t *testing.T) {
		t.Parallel()
		k := token(t, 0, simulator.Answer{
			Status: 400, Symbol: "invalid_grant", Message: "user hasn't approved this consumer",
		})
		blocked := k.untilPhase(conversation.Blocked).Blocked
		require.Equal(t, "TOKEN_INVALID_GRANT", blocked.Reason)
		require.Contains(t, blocked.Message, "user hasn't approved this consumer")
		require.Equal(t, 4, blocked.Attempt, "spaced tries")
		require.Empty(t, k.calls())
		k.s.Sandbox.RemoveAllFaults()
		require.NoError(t, k.Retry(t.Context(), k.id))
		require.Equal(t, conversation.Closed, k.ended().Why)
	})
}

// A conversation that stays Blocked for too long fails, so that it is not
// overlooked.
func TestBlockedConversationFailsAfterBlockedFor(t *testing.T) {
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
