package demo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestScriptIsComplete(t *testing.T) {
	s, err := readScript(conversations, events)
	require.NoError(t, err)
	require.Len(t, s.Conversations, 22)
	for _, part := range s.Conversations {
		require.NotEmpty(t, part.Expect, part.ID)
		for _, spec := range part.Faults {
			_, err := newFault(spec, part.identity)
			require.NoError(t, err)
		}
	}
}

func TestScriptAndEventsMustName(t *testing.T) {
	started := `{"specversion":"1.0","id":"1","source":"/demo","type":"sessionkeeper.conversation.started",` +
		`"time":"2026-01-15T09:00:00Z","data":{"orgId":"00D000000000001","authorizationContext":"Channel",` +
		`"channelAddressIdentifier":"8f5d1c1e-2f0a-4c58-9a34-6b1c0d2e7f01","endUserClientId":"user",` +
		`"conversationIdentifier":"one","sessionId":"0Mw000000000010AAA"}}`
	for name, c := range map[string]struct{ conversations, events, want string }{
		"a listed conversation":  {"conversations: [{id: one}, {id: two}]", started, "two: no event starts it"},
		"an event for a step":    {"conversations: [{id: one, steps: [{before: '2'}]}]", started, "one: no event 2 for its step"},
		"a started conversation": {"conversations: []", started, "one has events but is not listed"},
		"known fields":           {"conversations: [{name: one}]", started, "field name not found"},
		"valid events":           {"conversations: []", "not json", "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readScript([]byte(c.conversations), []byte(c.events))
			require.ErrorContains(t, err, c.want)
		})
	}
}

// Two plays on one Temporal must not name the same sessions.
func TestEveryPlayHasItsOwnSessions(t *testing.T) {
	first, second := newSessionIDs(time.Unix(1_800_000_000, 0)), newSessionIDs(time.Unix(1_800_000_001, 0))
	s, err := readScript(first.in(conversations), first.in(events))
	require.NoError(t, err)
	other, err := readScript(second.in(conversations), second.in(events))
	require.NoError(t, err)
	for i, part := range s.Conversations {
		require.NoError(t, part.identity.Validate())
		require.NotEqual(t, part.identity.SessionID, other.Conversations[i].identity.SessionID)
	}
	require.NotContains(t, string(first.in(append(conversations, events...))), "0Mw0000")
}

func TestAnyNumberOfAttemptsMatchesZero(t *testing.T) {
	require.True(t, result{Calls: "End"}.matches(result{Calls: "End", Attempts: 3}))
	require.True(t, result{Calls: "End", Attempts: 3}.matches(result{Calls: "End", Attempts: 3}))
	require.False(t, result{Calls: "End", Attempts: 2}.matches(result{Calls: "End", Attempts: 3}))
	require.False(t, result{Calls: "Inactivate"}.matches(result{Calls: "End"}))
}
