package cloudevent

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/strictjson"
)

// Parse reads one event in CloudEvents' JSON format, strictly: see
// [strictjson.Check]. Unknown fields are ignored, except in policy: there a
// misspelled field would silently get its default. The error is a
// [*conversation.InvalidError]. It repeats nothing of the text.
func Parse(text []byte) (Event, error) {
	members, err := split(text)
	if err != nil {
		return Event{}, err
	}
	attributes, err := attributesOf(members)
	if err != nil {
		return Event{}, err
	}
	data, err := dataOf(members)
	if err != nil {
		return Event{}, err
	}
	// The data is read first, because its errors name more fields.
	event, err := FromAttributes(attributes, data)
	if err != nil {
		return Event{}, err
	}
	return event, named(strictjson.Check(text, new(names)), whole)
}

// FromAttributes is [Parse] for an event of which the attributes are known already,
// because they are HTTP headers. It accepts no attribute "datacontenttype" of
// another type than JSON.
func FromAttributes(attributes map[string]string, data []byte) (Event, error) {
	e, err := readAttributes(attributes)
	if err != nil {
		return Event{}, err
	}
	data = bytes.TrimPrefix(data, byteOrderMark)
	switch {
	case len(data) == 0:
		err = invalid("data", "is missing")
	case e.Type == TypeSessionStatus:
		err = e.readSessionStatus(data, attributes[OrgExtension])
	default:
		err = e.readConversationData(data)
	}
	if err != nil {
		return Event{}, named(err, "data")
	}
	return e, nil
}

var byteOrderMark = []byte("\ufeff")

// names are the members of an event whose names are known.
type names struct {
	SpecVersion     any `json:"specversion"`
	ID              any `json:"id"`
	Source          any `json:"source"`
	Type            any `json:"type"`
	Time            any `json:"time"`
	Subject         any `json:"subject"`
	DataContentType any `json:"datacontenttype"`
	DataSchema      any `json:"dataschema"`
	OrgID           any `json:"orgid"`
	Data            any `json:"data"`
	DataBase64      any `json:"data_base64"`
}

// member is a member of a JSON object. Its value may contain invalid UTF-8 and
// names that occur twice.
type member struct {
	name  string
	value jsontext.Value
}

// split returns the members of a JSON object. Whether the text is strict is checked
// later: then it is known which fields the data has.
func split(text []byte) ([]member, error) {
	decoder := jsontext.NewDecoder(bytes.NewReader(text),
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	notJSON := func() ([]member, error) {
		err := named(strictjson.Check(text, new(names)), whole)
		if err == nil {
			err = invalid(whole, "must be a JSON object")
		}
		return nil, err
	}
	if first, err := decoder.ReadToken(); err != nil || first.Kind() != '{' {
		return notJSON()
	}
	var members []member
	for decoder.PeekKind() == '"' {
		name, err := decoder.ReadToken()
		if err != nil {
			return notJSON()
		}
		m := member{name: name.String()}
		if m.value, err = decoder.ReadValue(); err != nil {
			return notJSON()
		}
		m.value = m.value.Clone()
		members = append(members, m)
	}
	if _, err := decoder.ReadToken(); err != nil {
		return notJSON()
	}
	if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return notJSON()
	}
	return members, nil
}

// attributesOf returns the values of the attributes in their string form. An
// attribute that is null is not set.
func attributesOf(members []member) (map[string]string, error) {
	attributes := make(map[string]string, len(members))
	var p problems
	for _, m := range members {
		switch kind := m.value.Kind(); {
		case m.name == "data", m.name == "data_base64", kind == 'n':
		case kind == '"':
			attributes[m.name] = unquote(m.value)
		case defined[m.name]:
			p.add(m.name, "must be a string")
		case kind == '{', kind == '[':
			p.add(m.name, "is not a string, a number, true or false")
		default:
			attributes[m.name] = string(m.value)
		}
	}
	return attributes, p.err()
}

// unquote returns a JSON string's value. What is invalid in it becomes the
// replacement character here, and an error in the check that follows.
func unquote(value jsontext.Value) string {
	text, _ := jsontext.AppendUnquote(nil, value)
	return string(text)
}

// dataOf returns the data as JSON, nil if it is missing.
func dataOf(members []member) (data []byte, err error) {
	found := 0
	for _, m := range members {
		switch {
		case m.value.Kind() == 'n':
		case m.name == "data":
			data = m.value
			found++
		case m.name != "data_base64":
		case m.value.Kind() != '"':
			return nil, invalid(m.name, "must be a string")
		default:
			found++
			if data, err = base64.StdEncoding.DecodeString(unquote(m.value)); err != nil {
				return nil, invalid(m.name, "must be base64")
			}
		}
	}
	if found > 1 {
		return nil, invalid("data", "occurs twice, or beside data_base64")
	}
	return data, nil
}

// conversationData is the data of started, message and closed events.
type conversationData struct {
	conversation.Identity
	Policy conversation.Policy `json:"policy"`
	By     conversation.By     `json:"by"`
}

func (e *Event) readConversationData(text []byte) error {
	var d *conversationData
	if err := strictjson.Unmarshal(text, &d); err != nil {
		return err
	}
	if d == nil {
		return invalid("data", "is missing")
	}
	if err := checkPolicyNames(text); err != nil {
		return err
	}
	e.Identity, e.Policy, e.By = d.Identity, d.Policy, d.By
	return joined(conversation.Start{Identity: d.Identity, Policy: d.Policy}.Validate(),
		conversation.Close{By: d.By}.Validate())
}

// checkPolicyNames refuses unknown fields of the policy in data that has been read.
func checkPolicyNames(data []byte) error {
	var d struct {
		Policy map[string]json.RawMessage `json:"policy"`
	}
	if err := json.Unmarshal(data, &d); err != nil {
		return err
	}
	for name := range d.Policy {
		switch name {
		case "inactivateAfter", "endAfter", "blockedFor", "endOnCancel":
		default:
			return invalid("policy", "has an unknown field: want inactivateAfter, endAfter, blockedFor or endOnCancel")
		}
	}
	return nil
}

func (e *Event) readSessionStatus(text []byte, org string) error {
	if err := e.Status.UnmarshalJSON(text); err != nil {
		return err
	}
	e.Status.At = e.At
	e.Identity = conversation.Identity{
		OrgID:                    org,
		ConversationIdentifier:   e.Status.ConversationIdentifier,
		ChannelAddressIdentifier: e.Status.ChannelAddressIdentifier,
		SessionID:                e.Status.SessionID,
	}
	if org == "" {
		return invalid(OrgExtension, "is missing: it names the org of a session-status event")
	}
	return joined(e.Identity.ValidateKey(), e.Status.Validate())
}

// joined returns one error with the fields of all.
func joined(errs ...error) error {
	var p problems
	for _, err := range errs {
		if invalid, ok := errors.AsType[*conversation.InvalidError](err); ok {
			p = append(p, invalid.Fields...)
		}
	}
	return p.err()
}
