package conversation

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"time"

	"sessionkeeper/internal/strictjson"
)

// The payloads read their JSON strictly, on every way in: see [strictjson.Check].
// An error is an [*InvalidError] that names the field.

// UnmarshalJSON implements json.Unmarshaler.
func (s *Start) UnmarshalJSON(text []byte) error {
	type fields Start
	var read struct {
		*fields
		At       wireTime `json:"at"`
		Previous *struct {
			SessionID       string   `json:"sessionId"`
			EndsEventsUntil wireTime `json:"endsEventsUntil"`
		} `json:"previous"`
	}
	read.fields = (*fields)(s)
	if err := unmarshal(text, &read); err != nil {
		return err
	}
	s.At, s.Previous = read.At.Time, nil
	if p := read.Previous; p != nil {
		s.Previous = &PreviousSession{SessionID: p.SessionID, EndsEventsUntil: p.EndsEventsUntil.Time}
	}
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Message) UnmarshalJSON(text []byte) error {
	type fields Message
	var read struct {
		*fields
		At wireTime `json:"at"`
	}
	read.fields = (*fields)(m)
	err := unmarshal(text, &read)
	m.At = read.At.Time
	return err
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *Close) UnmarshalJSON(text []byte) error {
	type fields Close
	var read struct {
		*fields
		At wireTime `json:"at"`
	}
	read.fields = (*fields)(c)
	err := unmarshal(text, &read)
	c.At = read.At.Time
	return err
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *SessionStatus) UnmarshalJSON(text []byte) error {
	type fields SessionStatus
	var read struct {
		*fields
		At wireTime `json:"at"`
	}
	read.fields = (*fields)(s)
	err := unmarshal(text, &read)
	s.At = read.At.Time
	return err
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *CallFailing) UnmarshalJSON(text []byte) error {
	type fields CallFailing
	type answer Answer
	var read struct {
		*fields
		Since  wireTime `json:"since"`
		Answer struct {
			*answer
			At wireTime `json:"at"`
		} `json:"answer"`
	}
	read.fields, read.Answer.answer = (*fields)(c), (*answer)(&c.Answer)
	err := unmarshal(text, &read)
	c.Since, c.Answer.At = read.Since.Time, read.Answer.At.Time
	return err
}

// wireTime is the time of an event as it is read. Null is the zero time.
type wireTime struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (t *wireTime) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errTime
	}
	at, err := ParseTime(text)
	t.Time = at
	return err
}

// unmarshal reads a payload, which must be an object.
func unmarshal(text []byte, into any) error {
	if first := bytes.TrimSpace(text); len(first) == 0 || first[0] != '{' {
		return &InvalidError{Fields: []FieldError{{Field: "payload", Problem: "must be a JSON object"}}}
	}
	err := strictjson.Unmarshal(text, into)
	if wrong, ok := errors.AsType[*strictjson.Error](err); ok {
		return &InvalidError{Fields: []FieldError{{Field: cmp.Or(wrong.Field, "payload"), Problem: wrong.Problem}}}
	}
	return err
}
