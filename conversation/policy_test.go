package conversation_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
)

func newLike(value any) any { return reflect.New(reflect.TypeOf(value).Elem()).Interface() }

func TestDurationIsWrittenAsPeopleDo(t *testing.T) {
	for text, d := range map[string]time.Duration{
		"0s": 0, "10m": 10 * time.Minute, "24h": 24 * time.Hour, "1h30m": 90 * time.Minute,
		"1m30s": 90 * time.Second, "1h0m5s": time.Hour + 5*time.Second, "20s": 20 * time.Second, "1.5s": 1500 * time.Millisecond,
	} {
		require.Equal(t, text, conversation.Duration(d).String())
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		`"10m"`: 10 * time.Minute, `"1h30m"`: 90 * time.Minute, `"0s"`: 0, `"0"`: 0, `"1.5s"`: 1500 * time.Millisecond,
	} {
		var d conversation.Duration
		require.NoError(t, json.Unmarshal([]byte(text), &d), text)
		require.Equal(t, conversation.Duration(want), d, text)
	}
	for _, text := range []string{`600`, `"600"`, `""`, `"ten minutes"`, `true`, `{}`, `"1d"`} {
		var d conversation.Duration
		require.ErrorContains(t, json.Unmarshal([]byte(text), &d), `want a string such as "10m"`, text)
	}
}

// Absent means the default, "0s" disables.
func TestPolicy(t *testing.T) {
	for text, want := range map[string][3]time.Duration{
		`{}`:                           {10 * time.Minute, 24 * time.Hour, 72 * time.Hour},
		`{"policy":{}}`:                {10 * time.Minute, 24 * time.Hour, 72 * time.Hour},
		`{"policy":{"endAfter":null}}`: {10 * time.Minute, 24 * time.Hour, 72 * time.Hour},
		`{"policy":{"inactivateAfter":"0s","endAfter":"0s","blockedFor":"0s"}}`: {0, 0, 0},
		`{"policy":{"endAfter":"1h"}}`:                                          {10 * time.Minute, time.Hour, 72 * time.Hour},
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

func TestWithDefaultsLeavesTheOriginal(t *testing.T) {
	var p conversation.Policy
	p.WithDefaults()
	require.Equal(t, conversation.Policy{}, p)
}
