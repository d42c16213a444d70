package conversation_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
)

func TestTimestamp(t *testing.T) {
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

// What has been read can be written, and read again as the same time.
func FuzzTimestamp(f *testing.F) {
	for _, seed := range []string{`"2026-03-01T12:00:00Z"`, `"2026-03-01T12:00:00.000+0000"`, `1772366400000`, `null`, `-1`, `253402300800000`} {
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
