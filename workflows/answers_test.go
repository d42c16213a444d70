package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
)

// idle is a conversation whose Inactivate is due, and that call.
func idle(t *testing.T) (*State, call, time.Time) {
	t.Helper()
	began := time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)
	s := newState(conversation.Start{
		Identity: conversation.Identity{OrgID: "00D000000000001", ConversationIdentifier: "c", SessionID: "0Mw000000000001"},
		Policy:   conversation.Policy{InactivateAfter: new(conversation.Duration(10 * time.Second))},
		At:       began,
	}, began)
	now := began.Add(10 * time.Second)
	due, isDue := s.due(now)
	require.True(t, isDue)
	return s, due, now
}

func TestFailureOfARecalledCallBlocksNothing(t *testing.T) {
	refused := temporal.NewApplicationError("busy", "INTERNAL_ERROR")
	for recalled, want := range map[bool]conversation.Phase{true: conversation.Active, false: conversation.Blocked} {
		s, due, now := idle(t)
		s.failed(due, refused, recalled, now)
		require.Equal(t, want, s.Phase(), "recalled: %t", recalled)
	}
}

func TestSuccessDoesNotCountForWhatWasWrittenSinceTheCall(t *testing.T) {
	s, due, now := idle(t)
	s.message(conversation.Message{At: now.Add(time.Second)}, now.Add(time.Second))
	later := now.Add(20 * time.Second)
	s.succeeded(due, conversation.Answer{Attempt: 1}, later)
	require.Equal(t, conversation.Active, s.Phase())
	again, isDue := s.due(later)
	require.True(t, isDue)
	require.Equal(t, conversation.Inactivate, again.Operation)
}

func TestEndOfAnUnknownSessionLeavesTheKnownOneAlive(t *testing.T) {
	s, _, now := idle(t)
	s.sessionStatus(conversation.SessionStatus{SessionID: "0Mw000000000009", Status: conversation.StatusEnded, At: now}, now)
	require.Nil(t, s.Outcome)
	require.Equal(t, "0Mw000000000001", s.Identity.SessionID)
}
