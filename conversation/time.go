package conversation

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"
)

// The errors do not repeat the value: it may be personal data.
var (
	errDuration = errors.New(`must be a duration such as "10m"`)
	errTime     = errors.New(`must be a time in RFC 3339, such as "2026-01-15T09:00:00Z"`)
	errYear     = errors.New("must be a time of the years 1970 to 9999")
	errNumber   = errors.New("must be seconds or milliseconds since 1970, of the years 2001 to 5138")
)

// ParseTime reads a time in RFC 3339 and returns it in UTC. It accepts what Go's
// parser does not: "t" and "z", and the leap second 60, which becomes the next
// second. A time before 1970 is an error, because most are the zero value of
// another system. So is one after 9999, because it cannot be written again.
func ParseTime(text string) (time.Time, error) {
	at, err := parseTime(text, rfc3339, time.RFC3339Nano)
	if err == nil && !inRange(at) {
		err = errYear
	}
	return at.UTC(), err
}

// The forms of a time. Go's layouts alone accept more: a zone of 24 hours, one
// digit for the hour, and a comma.
var (
	rfc3339 = regexp.MustCompile(
		`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
	zoneWithoutColon = regexp.MustCompile(
		`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?[+-]([01]\d|2[0-3])[0-5]\d$`)
)

// maxTime is the longest text of a time that is read.
const maxTime = 64

func parseTime(text string, form *regexp.Regexp, layout string) (time.Time, error) {
	if len(text) > maxTime || !form.MatchString(text) {
		return time.Time{}, errTime
	}
	text = strings.ToUpper(text)
	const second = len("2006-01-02T15:04:")
	leap := time.Duration(0)
	if text[second:second+2] == "60" {
		text = text[:second] + "59" + text[second+2:]
		leap = time.Second
	}
	at, err := time.Parse(layout, text)
	if err != nil || leap != 0 && at.UTC().Format(time.TimeOnly) != "23:59:59" {
		return time.Time{}, errTime
	}
	return at.Add(leap), nil
}

// inRange reports whether the year is in range, both in UTC and in the zone of at.
func inRange(at time.Time) bool {
	return min(at.Year(), at.UTC().Year()) >= 1970 && max(at.Year(), at.UTC().Year()) <= 9999
}

// EventTime returns the time that counts for an event: at, or now if at is absent
// (zero) or after now. The time at is by the clock of the routing system, which
// may be ahead of ours. The result is in UTC.
func EventTime(at, now time.Time) time.Time {
	if at.IsZero() || at.After(now) {
		at = now
	}
	return at.UTC()
}

// ClockTolerance is how much the clocks of a partner's systems may differ. Some also
// write whole seconds. Where two sessions meet, a time decides only beyond it.
const ClockTolerance = 5 * time.Second

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
// format: its samples have seconds since 1970 in one event and milliseconds in
// others. Timestamp reads both and decides by the size of the number. It also
// reads RFC 3339, and RFC 3339 with the zone as "+0000". An empty string, 0 and
// null are the zero time. It writes RFC 3339.
type Timestamp struct{ time.Time }

// The numbers from minSeconds to maxSeconds are seconds, from minMillis to
// maxMillis milliseconds: both are the years 2001 to 5138.
const (
	minSeconds, maxSeconds = 1e9, 1e11
	minMillis, maxMillis   = minSeconds * 1000, maxSeconds * 1000
)

// UnmarshalJSON implements json.Unmarshaler.
func (t *Timestamp) UnmarshalJSON(data []byte) error {
	var number json.Number
	if err := json.Unmarshal(data, &number); err == nil && !strings.HasPrefix(string(data), `"`) {
		return t.setNumber(number)
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errTime
	}
	return t.setText(text)
}

func (t *Timestamp) setText(text string) error {
	if text == "" {
		t.Time = time.Time{}
		return nil
	}
	at, err := parseTime(text, rfc3339, time.RFC3339Nano)
	if err != nil {
		at, err = parseTime(text, zoneWithoutColon, "2006-01-02T15:04:05.999999999Z0700")
	}
	switch {
	case err != nil:
		return err
	case !at.IsZero() && !inRange(at):
		return errYear
	}
	t.Time = at.UTC()
	return nil
}

// setNumber sets the time from a number; an absent number is null.
func (t *Timestamp) setNumber(number json.Number) error {
	if number == "" {
		t.Time = time.Time{}
		return nil
	}
	value, err := number.Float64()
	if err != nil {
		return errNumber
	}
	switch whole := int64(value); {
	case value == 0:
		t.Time = time.Time{}
	case minSeconds <= value && value < maxSeconds:
		t.Time = time.Unix(whole, int64((value-float64(whole))*1e9)).UTC().Round(time.Millisecond)
	case minMillis <= value && value < maxMillis:
		t.Time = time.UnixMilli(whole).UTC()
	default:
		return errNumber
	}
	return nil
}
