package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/gate"
)

// idle returns a conversation whose Inactivate is due, and that call.
func idle(t *testing.T) (*State, call, time.Time) {
	t.Helper()
	began := time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)
	s := newState(conversation.Start{
		Identity: conversation.Identity{OrgID: "00D000000000001", ConversationIdentifier: "c", SessionID: "0Mw000000000001"},
		Policy:   conversation.Policy{InactivateAfter: new(conversation.Duration(10 * time.Second))},
		At:       began,
	}, began)
	now := began.Add(10 * time.Second)
	due := s.dueCall(now)
	require.NotNil(t, due)
	return s, *due, now
}

func TestFailureOfACancelledCallBlocksNothing(t *testing.T) {
	failure := temporal.NewApplicationError("busy", "INTERNAL_ERROR")
	for canceled, want := range map[bool]conversation.Phase{true: conversation.Active, false: conversation.Blocked} {
		s, due, now := idle(t)
		s.callFailed(due, failure, canceled, now)
		require.Equal(t, want, s.Phase(), "cancel requested: %t", canceled)
	}
}

// A call that only waited for its org is made again, whatever ended it.
func TestWaitBlocksNothing(t *testing.T) {
	for _, canceled := range []bool{true, false} {
		s, due, now := idle(t)
		var progress activities.Progress
		err := progress.Wait(conversation.Answer{Operation: due.Operation}, "00D000000000001", &gate.Wait{State: gate.Paused})
		s.callFailed(due, err, canceled, now)
		require.Equal(t, conversation.Active, s.Phase(), "cancel requested: %t", canceled)
		require.Nil(t, s.LastAnswer)
		require.NotNil(t, s.dueCall(now))
	}
}

// A call that is no longer due changes no phase, however it ended.
func TestResultOfACallThatIsNotDueChangesNoPhase(t *testing.T) {
	for name, event := range map[string]func(*State, time.Time){
		"message: nothing is due": func(s *State, now time.Time) { s.applyMessage(conversation.Message{At: now}, now) },
		"close: an End is due":    func(s *State, now time.Time) { s.applyClose(conversation.Close{At: now}, now) },
	} {
		s, due, now := idle(t)
		event(s, now)
		s.callFailed(due, temporal.NewApplicationError("busy", "INTERNAL_ERROR"), false, now)
		require.Equal(t, conversation.Active, s.Phase(), name)
		s.callSucceeded(due, conversation.Answer{Attempt: 1}, now)
		require.Equal(t, conversation.Active, s.Phase(), name)
	}
}

// An answer for an earlier session counts for that session only, if it is still known.
func TestAnswerForAnEarlierSession(t *testing.T) {
	s := active(s1)
	s.callSucceeded(call{Operation: conversation.End, generation: 7}, conversation.Answer{Attempt: 3}, at(1))
	s.Replaced = &replaced{Generation: 7}
	s.callSucceeded(call{Operation: conversation.End, generation: 6}, conversation.Answer{Attempt: 3}, at(1))
	require.Zero(t, s.Replaced.Attempts)
	s.callSucceeded(call{Operation: conversation.End, generation: 7}, conversation.Answer{Attempt: 3}, at(1))
	require.Equal(t, 3, s.Replaced.Attempts)
	require.Nil(t, s.LastAnswer)
	require.Zero(t, s.Attempts)
	require.Nil(t, s.Outcome)
}

func TestInactivateDoesNotCountAfterANewerMessage(t *testing.T) {
	for _, answer := range []conversation.Answer{{Attempt: 1}, {Attempt: 1, NotActive: true}} {
		s, due, now := idle(t)
		s.applyMessage(conversation.Message{At: now.Add(time.Second)}, now.Add(time.Second))
		later := now.Add(20 * time.Second)
		s.callSucceeded(due, answer, later)
		require.Equal(t, conversation.Active, s.Phase())
		again := s.dueCall(later)
		require.NotNil(t, again)
		require.Equal(t, conversation.Inactivate, again.Operation)
	}
}

func TestEndOfAnUnknownSessionDoesNotEndTheKnownOne(t *testing.T) {
	s, _, now := idle(t)
	s.applySessionStatus(
		conversation.SessionStatus{SessionID: "0Mw000000000009", Status: conversation.StatusEnded, At: now},
		now,
	)
	require.Nil(t, s.Outcome)
	require.Equal(t, "0Mw000000000001", s.Identity.SessionID)
}
