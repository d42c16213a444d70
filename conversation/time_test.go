package conversation_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
)

func TestEventTimeIsNotInTheFuture(t *testing.T) {
	require.Equal(t, noon, conversation.EventTime(time.Time{}, noon), "absent")
	require.Equal(t, noon, conversation.EventTime(noon.Add(time.Second), noon), "in the future")
	require.Equal(t, noon.Add(-time.Hour), conversation.EventTime(noon.Add(-time.Hour), noon))
}

func TestDurationStringHasNoZeroUnits(t *testing.T) {
	for text, d := range map[string]time.Duration{
		"0s": 0, "10m": 10 * time.Minute, "24h": 24 * time.Hour, "1h30m": 90 * time.Minute,
		"1m30s": 90 * time.Second, "1h0m5s": time.Hour + 5*time.Second, "20s": 20 * time.Second,
		"1.5s": 1500 * time.Millisecond,
	} {
		require.Equal(t, text, conversation.Duration(d).String())
	}
}

func TestDurationFromJSON(t *testing.T) {
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

func TestTimestampFromJSON(t *testing.T) {
	for text, want := range map[string]time.Time{
		`"2026-03-01T12:00:00Z"`:         noon,
		`"2026-03-01T13:00:00+01:00"`:    noon,
		`"2026-03-01T12:00:00.000+0000"`: noon,
		`"2026-03-01T13:00:00.25+0100"`:  noon.Add(250 * time.Millisecond),
		`1772366400000`:                  noon,
		`""`:                             {},
		`0`:                              {},
		`null`:                           {},
	} {
		var got conversation.Timestamp
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.True(t, want.Equal(got.Time), "%s is %s, want %s", text, got.Time, want)
	}
	for _, text := range []string{`"yesterday"`, `"2026-03-01"`, `true`, `{}`, `[]`, `1.5`, `"1772366400000"`} {
		var got conversation.Timestamp
		require.ErrorContains(t, json.Unmarshal([]byte(text), &got), "want RFC 3339 or milliseconds since 1970", text)
	}
}

// A time that was read can be written, and is the same when it is read again.
func FuzzTimestamp(f *testing.F) {
	for _, seed := range []string{
		`"2026-03-01T12:00:00Z"`, `"2026-03-01T12:00:00.000+0000"`, `1772366400000`, `null`,
		`-1`, `253402300800000`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var first, second conversation.Timestamp
		if json.Unmarshal([]byte(text), &first) != nil {
			return
		}
		data, err := json.Marshal(first)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(data, &second))
		require.True(t, first.Equal(second.Time), "%s: %s, then %s", text, first, second)
	})
}
