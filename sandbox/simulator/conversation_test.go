package simulator_test

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/sandbox/simulator"
)

func (l *lab) converse(body m) response {
	l.t.Helper()
	all := m{"operation": "", "operationBy": "", "conversationIdentifier": ""}
	maps.Copy(all, body)
	return l.do(http.MethodPost, convPath, l.headers(nil), fields(all))
}

func TestConversationOutlivesItsSessions(t *testing.T) {
	l := newLab(t)
	first := l.converse(nil)
	require.Equal(t, http.StatusAccepted, first.status)
	require.Len(t, first.body, 2)
	conv, session := first.body["conversationIdentifier"].(string), first.body["messagingSessionId"].(string)
	require.Regexp(t, `^0Mw[0-9A-Za-z]{15}$`, session)
	require.Equal(t, first.body, l.converse(nil).body, "same end user, same channel, open session")
	require.NotEqual(t, conv, l.converse(m{"endUserClientId": "somebody else"}).body["conversationIdentifier"])

	require.Equal(t, true, l.call(m{"conversationIdentifier": conv, "sessionId": session}).body["success"])
	next := l.converse(nil).body
	require.Equal(t, conv, next["conversationIdentifier"])
	require.NotEqual(t, session, next["messagingSessionId"])
}

func TestConversationCanBeNamed(t *testing.T) {
	l := newLab(t)
	named := m{"conversationIdentifier": "conv-1", "sessionId": "0Mw000000000000AAA"}
	want := map[string]any{"conversationIdentifier": "conv-1", "messagingSessionId": "0Mw000000000000AAA"}
	require.Equal(t, want, l.converse(named).body)
	require.Equal(t, want, l.converse(named).body, "again")

	next := l.converse(m{"conversationIdentifier": "conv-1", "sessionId": "0Mw000000000000BBB"})
	require.Equal(t, "0Mw000000000000BBB", next.body["messagingSessionId"])

	for name, body := range map[string]m{
		"session of another conversation": {"conversationIdentifier": "conv-2", "sessionId": "0Mw000000000000AAA"},
		"end user of another":             {"conversationIdentifier": "conv-1", "endUserClientId": "somebody else"},
		"malformed session id":            {"sessionId": "1"},
		"operation":                       {"operation": "End"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, http.StatusBadRequest, l.converse(body).status)
			require.NotEmpty(t, l.last().Violations)
			require.NotContains(t, l.last().Violations[0], "somebody else")
		})
	}
	require.Equal(t, "CHANNEL_ADDRESS_NOT_FOUND", l.converse(m{"channelAddressIdentifier": "other"}).body["errorReason"])
}

func TestConversationAppearsLate(t *testing.T) {
	l := newLab(t, behaving(simulator.Behaviour{SessionsAppearAfter: simulator.Duration(time.Second)}))
	require.Equal(t, http.StatusAccepted, l.converse(m{"conversationIdentifier": "conv-1"}).status)
	require.Equal(t, "ACTIVE_CONVERSATION_NOT_FOUND", l.call(nil).body["errorReason"])
	l.advance(time.Second)
	require.Equal(t, true, l.call(nil).body["success"])
}

func TestSessionsFromOutside(t *testing.T) {
	l := newLab(t)
	s, err := l.CreateSession(orgA, simulator.Session{})
	require.NoError(t, err)
	require.Equal(t, simulator.StatusNew, s.Status)
	require.Equal(t, []simulator.Session{s}, l.Sessions(orgA))
	require.NoError(t, l.SetStatus(orgA, s.ConversationIdentifier, simulator.StatusWaiting))
	got, found := l.Session(orgA, s.ConversationIdentifier)
	require.True(t, found)
	require.Equal(t, simulator.StatusWaiting, got.Status)

	_, found = l.Session(orgB, s.ConversationIdentifier)
	require.False(t, found, "orgs are apart")
	require.ErrorIs(t, l.SetStatus("x", "conv-1", simulator.StatusEnded), simulator.ErrOrgNotFound)
	require.ErrorIs(t, l.SetStatus(orgA, "other", simulator.StatusEnded), simulator.ErrConversationNotFound)
	require.ErrorContains(t, l.SetStatus(orgA, s.ConversationIdentifier, "Dead"), "status")
	for field, bad := range map[string]simulator.Session{
		"sessionId":    {ID: s.ID},
		"0Mw":          {ID: "500000000000000AAA"},
		"status":       {Status: "Dead"},
		"appearsAfter": {AppearsAfter: -1},
	} {
		_, err := l.CreateSession(orgA, bad)
		require.ErrorIs(t, err, simulator.ErrInvalid)
		require.ErrorContains(t, err, field)
	}
}
