package conversation

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// The errors do not repeat the value: it may be personal data.
var (
	errDuration = errors.New(`duration: want a string such as "10m"`)
	errTime     = errors.New("time: want RFC 3339 or milliseconds since 1970")
)

// EventTime returns the time that counts for an event: at, or now if at is absent
// (zero) or after now. The time at is by the clock of the routing system, which
// may be ahead of ours.
func EventTime(at, now time.Time) time.Time {
	if at.IsZero() || at.After(now) {
		return now
	}
	return at
}

// Duration is a time.Duration that JSON holds as a string, such as "10m" or
// "1h30m". The units are h, m, s, ms, us and ns; there is no unit for days. Of
// the numbers without a unit only "0" is accepted.
type Duration time.Duration

// String formats the duration as Go does, without zero units at the end: "10m",
// not "10m0s".
func (d Duration) String() string {
	text := time.Duration(d).String()
	if short, ok := strings.CutSuffix(text, "m0s"); ok {
		text = short + "m"
	}
	if short, ok := strings.CutSuffix(text, "h0m"); ok {
		text = short + "h"
	}
	return text
}

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON implements json.Unmarshaler. It leaves d unchanged for null.
func (d *Duration) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errDuration
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return errDuration
	}
	*d = Duration(parsed)
	return nil
}

// Timestamp is a time in a [SessionStatus]. Salesforce does not document its
// format. Timestamp reads RFC 3339, RFC 3339 with the zone as "+0000", and
// milliseconds since 1970. An empty string, 0 and null are the zero time. It
// writes RFC 3339.
type Timestamp struct{ time.Time }

// salesforceTime is RFC 3339 with the zone as "+0000".
const salesforceTime = "2006-01-02T15:04:05.999999999Z0700"

// UnmarshalJSON implements json.Unmarshaler.
func (t *Timestamp) UnmarshalJSON(data []byte) error {
	var millis int64
	if err := json.Unmarshal(data, &millis); err == nil {
		t.Time = time.Time{}
		if millis != 0 {
			t.Time = time.UnixMilli(millis).UTC()
		}
		if year := t.Year(); year < 0 || year > 9999 {
			return errors.New("time: want milliseconds since 1970, of a year from 0 to 9999")
		}
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errTime
	}
	if text == "" {
		t.Time = time.Time{}
		return nil
	}
	for _, layout := range []string{time.RFC3339, salesforceTime} {
		if parsed, err := time.Parse(layout, text); err == nil {
			t.Time = parsed
			return nil
		}
	}
	return errTime
}
