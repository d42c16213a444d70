package conversation_test

import (
	"encoding/json"
	"strings"
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
		require.ErrorContains(t, json.Unmarshal([]byte(text), &d), `must be a duration such as "10m"`, text)
	}
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-03-01T12:00:00Z": noon, "2026-03-01t12:00:00z": noon, "2026-03-01T13:00:00.000+01:00": noon,
		"2026-03-01T12:00:00-00:00": noon, "2016-12-31T23:59:60Z": time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC),
		"2017-01-01T00:59:60+01:00": time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC),
		"1970-01-01T00:00:00Z":      time.Unix(0, 0).UTC(),
		"9999-12-31T23:59:59+00:01": time.Date(9999, 12, 31, 23, 58, 59, 0, time.UTC),
	} {
		got, err := conversation.ParseTime(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", "0", "2026-03-01", "2026-03-01T12:00:00", "2026-03-01 12:00:00Z", "2026-03-01T12:00:00+0000", "2026-03-01T9:00:00Z",
		"2026-03-01T12:00:00,5Z", "2026-03-01T12:00:00+24:00", "2026-03-01T12:00:60Z", "2026-02-30T12:00:00Z",
		"0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-00:01",
		"1970-01-01T00:00:00+00:01", "1969-12-31T23:59:59-00:01",
		"2026-03-01T12:00:00." + strings.Repeat("0", 64) + "Z",
	} {
		_, err := conversation.ParseTime(text)
		require.Error(t, err, text)
	}
}

func TestTimestampFromJSON(t *testing.T) {
	for text, want := range map[string]time.Time{
		`"2026-03-01T12:00:00Z"`:         noon,
		`"2026-03-01T13:00:00+01:00"`:    noon,
		`"2026-03-01T12:00:00.000+0000"`: noon,
		`"2026-03-01T13:00:00.25+0100"`:  noon.Add(250 * time.Millisecond),
		`1772366400000`:                  noon,
		`1772366400`:                     noon,
		`1772366400.25`:                  noon.Add(250 * time.Millisecond),
		`1772366400.001`:                 noon.Add(time.Millisecond), // as a float it is a little less
		`1e9`:                            time.Unix(1e9, 0),
		`1e12`:                           time.UnixMilli(1e12),
		`99999999999`:                    time.Unix(99999999999, 0),
		`"2026-03-01t12:00:00z"`:         noon,
		`""`:                             {},
		`0`:                              {},
		`null`:                           {},
	} {
		var got conversation.Timestamp
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.True(t, want.Equal(got.Time), "%s is %s, want %s", text, got.Time, want)
	}
	for text, want := range map[string]string{
		`"yesterday"`: "RFC 3339", `"2026-03-01"`: "RFC 3339", `true`: "RFC 3339", `{}`: "RFC 3339", `[]`: "RFC 3339",
		`"1772366400000"`: "RFC 3339", `"0000-01-01T00:00:00Z"`: "1970 to 9999", `"1969-12-31T23:59:59Z"`: "1970 to 9999",
		`1.5`: "seconds or milliseconds", `-1`: "seconds or milliseconds", `999999999`: "seconds or milliseconds",
		`100000000000`: "seconds or milliseconds", `999999999999`: "seconds or milliseconds",
		`1772366400000000`: "seconds or milliseconds", `1e400`: "seconds or milliseconds",
	} {
		var got conversation.Timestamp
		require.ErrorContains(t, json.Unmarshal([]byte(text), &got), want, text)
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
