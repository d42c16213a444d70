package simulator_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/sandbox/simulator"
)

func TestCreateSessionAndSetStatus(t *testing.T) {
	h := newHarness(t)
	s, err := h.CreateSession(orgA, simulator.Session{})
	require.NoError(t, err)
	require.Equal(t, simulator.StatusNew, s.Status)
	require.Equal(t, []simulator.Session{s}, h.Sessions(orgA))
	require.NoError(t, h.SetStatus(orgA, s.ConversationIdentifier, simulator.StatusWaiting))
	got, found := h.Session(orgA, s.ConversationIdentifier)
	require.True(t, found)
	require.Equal(t, simulator.StatusWaiting, got.Status)

	_, found = h.Session(orgB, s.ConversationIdentifier)
	require.False(t, found, "orgs are apart")
	require.ErrorIs(t, h.SetStatus("x", "conv-1", simulator.StatusEnded), simulator.ErrOrgNotFound)
	require.ErrorIs(t, h.SetStatus(orgA, "other", simulator.StatusEnded), simulator.ErrConversationNotFound)
	require.ErrorContains(t, h.SetStatus(orgA, s.ConversationIdentifier, "Dead"), "status")
	for field, bad := range map[string]simulator.Session{
		"sessionId":    {ID: s.ID},
		"0Mw":          {ID: "500000000000000AAA"},
		"status":       {Status: "Dead"},
		"appearsAfter": {AppearsAfter: -1},
	} {
		_, err := h.CreateSession(orgA, bad)
		require.ErrorIs(t, err, simulator.ErrInvalid)
		require.ErrorContains(t, err, field)
	}
}

func TestCreatedSessionIsInvisibleUntilItAppears(t *testing.T) {
	h := newHarness(t)
	hidden := simulator.Session{ConversationIdentifier: "conv-1", AppearsAfter: simulator.Duration(time.Second)}
	_, err := h.CreateSession(orgA, hidden)
	require.NoError(t, err)
	require.Equal(t, "ACTIVE_CONVERSATION_NOT_FOUND", h.call(nil).body["errorReason"])
	h.advance(time.Second)
	require.Equal(t, true, h.call(nil).body["success"])

	later, err := h.CreateSession(orgA, hidden)
	require.NoError(t, err)
	require.Equal(t, "SESSION_NOT_FOUND", h.call(m{"sessionId": later.ID}).body["errorReason"])
	h.advance(time.Second)
	require.Equal(t, true, h.call(m{"sessionId": later.ID}).body["success"])
}

func TestOperationOnEarlierSessionLeavesNewSessionAlone(t *testing.T) {
	h := newHarness(t)
	first := h.session()
	second := h.session()
	require.NotEqual(t, first.ID, second.ID)
	r := h.call(m{"sessionId": first.ID})
	require.Equal(t, "SESSION_NOT_FOUND", r.body["errorReason"], "the second session ended the first")
	require.Equal(t, simulator.StatusActive, h.status())
	require.Equal(t, true, h.call(m{"sessionId": second.ID}).body["success"])
}
