package simulator_test

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/sandbox/simulator"
)

// openConversation sends a valid request to /api/v1/conversation, with changes to
// its body.
func (h *harness) openConversation(body m) response {
	h.t.Helper()
	all := m{"operation": "", "operationBy": "", "conversationIdentifier": ""}
	maps.Copy(all, body)
	return h.do(http.MethodPost, conversationPath, h.headers(nil), fields(all))
}

func TestConversationKeepsItsIdentifierAcrossSessions(t *testing.T) {
	h := newHarness(t)
	first := h.openConversation(nil)
	require.Equal(t, http.StatusAccepted, first.status)
	require.Len(t, first.body, 2)
	conv, session := first.body["conversationIdentifier"].(string), first.body["messagingSessionId"].(string)
	require.Regexp(t, `^0Mw[0-9A-Za-z]{15}$`, session)
	require.Equal(t, first.body, h.openConversation(nil).body, "the same end user and channel, and an open session")
	require.NotEqual(t, conv, h.openConversation(m{"endUserClientId": "end-user-2"}).body["conversationIdentifier"])

	require.Equal(t, true, h.call(m{"conversationIdentifier": conv, "sessionId": session}).body["success"])
	next := h.openConversation(nil).body
	require.Equal(t, conv, next["conversationIdentifier"])
	require.NotEqual(t, session, next["messagingSessionId"])
}

func TestConversationWithGivenIdentifiers(t *testing.T) {
	h := newHarness(t)
	named := m{"conversationIdentifier": "conv-1", "sessionId": "0Mw000000000000AAA"}
	want := map[string]any{"conversationIdentifier": "conv-1", "messagingSessionId": "0Mw000000000000AAA"}
	require.Equal(t, want, h.openConversation(named).body)
	require.Equal(t, want, h.openConversation(named).body, "repeated")

	next := h.openConversation(m{"conversationIdentifier": "conv-1", "sessionId": "0Mw000000000000BBB"})
	require.Equal(t, "0Mw000000000000BBB", next.body["messagingSessionId"])

	for name, body := range map[string]m{
		"session of another conversation": {"conversationIdentifier": "conv-2", "sessionId": "0Mw000000000000AAA"},
		"other end user":                  {"conversationIdentifier": "conv-1", "endUserClientId": "end-user-2"},
		"malformed session id":            {"sessionId": "1"},
		"operation":                       {"operation": "End"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, http.StatusBadRequest, h.openConversation(body).status)
			require.NotEmpty(t, h.last().Violations)
			require.NotContains(t, h.last().Violations[0], "end-user-2")
		})
	}
	r := h.openConversation(m{"channelAddressIdentifier": "other"})
	require.Equal(t, "CHANNEL_ADDRESS_NOT_FOUND", r.body["errorReason"])
}

func TestNewSessionIsInvisibleAtFirst(t *testing.T) {
	h := newHarness(t, withBehaviour(simulator.Behaviour{SessionsAppearAfter: simulator.Duration(time.Second)}))
	require.Equal(t, http.StatusAccepted, h.openConversation(m{"conversationIdentifier": "conv-1"}).status)
	require.Equal(t, "ACTIVE_CONVERSATION_NOT_FOUND", h.call(nil).body["errorReason"])
	h.advance(time.Second)
	require.Equal(t, true, h.call(nil).body["success"])
}
