package conversation_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
)

// An absent duration takes its default, "0s" disables the stage.
func TestPolicyDefaults(t *testing.T) {
	for text, want := range map[string][3]time.Duration{
		`{}`:                           {10 * time.Minute, 24 * time.Hour, 72 * time.Hour},
		`{"policy":{}}`:                {10 * time.Minute, 24 * time.Hour, 72 * time.Hour},
		`{"policy":{"endAfter":null}}`: {10 * time.Minute, 24 * time.Hour, 72 * time.Hour},
		`{"policy":{"inactivateAfter":"0s","endAfter":"0s","blockedFor":"0s"}}`: {0, 0, 0},
		`{"policy":{"endAfter":"1h"}}`: {
			10 * time.Minute, time.Hour, 72 * time.Hour,
		},
	} {
		var s conversation.Start
		require.NoError(t, json.Unmarshal([]byte(text), &s), text)
		p := s.Policy.WithDefaults()
		require.NoError(t, p.Validate())
		require.Equal(t, want, [3]time.Duration{
			time.Duration(*p.InactivateAfter), time.Duration(*p.EndAfter), time.Duration(*p.BlockedFor),
		}, text)
	}
}

func TestWithDefaultsReturnsACopy(t *testing.T) {
	var p conversation.Policy
	p.WithDefaults()
	require.Equal(t, conversation.Policy{}, p)
}
