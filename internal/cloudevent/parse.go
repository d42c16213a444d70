package cloudevent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"sessionkeeper/conversation"
)

var errUnknownType = fmt.Errorf("want %s, %s, %s or %s", TypeStarted, TypeMessage, TypeClosed, TypeSessionStatus)

// Parse reads one event in CloudEvents' JSON format. The error is one line. It
// names the field and repeats nothing of data. Unknown fields are ignored, except
// in policy: there a misspelled field would silently get its default.
func Parse(text []byte) (Event, error) {
	ce, err := parseCloudEvent(text)
	if err != nil {
		return Event{}, fmt.Errorf("not a CloudEvent: %w", err)
	}
	return convert(ce)
}

// From is [Parse] for an event that the CloudEvents library has read, such as one
// whose attributes are HTTP headers.
func From(ce event.Event) (Event, error) {
	if err := validate(ce); err != nil {
		return Event{}, fmt.Errorf("not a CloudEvent: %w", err)
	}
	return convert(ce)
}

// attributes are the attributes of a CloudEvent whose JSON type is checked before
// the CloudEvents library reads them: the library does not name the attribute of a
// wrong type, and panics when data_base64 is not a string.
type attributes struct {
	SpecVersion     string  `json:"specversion"`
	ID              string  `json:"id"`
	Source          string  `json:"source"`
	Type            string  `json:"type"`
	Time            *string `json:"time"`
	Subject         *string `json:"subject"`
	DataContentType *string `json:"datacontenttype"`
	DataBase64      *string `json:"data_base64"`
	OrgID           *string `json:"orgid"`
}

func parseCloudEvent(text []byte) (event.Event, error) {
	var ce event.Event
	var a attributes
	if err := json.Unmarshal(text, &a); err != nil {
		return ce, jsonError(err)
	}
	if a.SpecVersion != event.CloudEventsVersionV1 {
		return ce, versionError(a.SpecVersion)
	}
	if err := json.Unmarshal(text, &ce); err != nil {
		return ce, withoutContent(err)
	}
	return ce, validate(ce)
}

func validate(ce event.Event) error {
	if version := ce.SpecVersion(); version != event.CloudEventsVersionV1 {
		return versionError(version)
	}
	if err := ce.Validate(); err != nil {
		return &oneLineError{err}
	}
	return nil
}

func versionError(version string) error {
	return &fieldError{"specversion", fmt.Sprintf("%.20q", version), fmt.Errorf("want %q", event.CloudEventsVersionV1)}
}

func convert(ce event.Event) (Event, error) {
	var err error
	e := Event{ID: ce.ID(), Type: ce.Type(), At: ce.Time()}
	switch e.Type {
	case TypeStarted, TypeMessage, TypeClosed:
		err = e.readConversationData(ce.Data())
	case TypeSessionStatus:
		org, _ := ce.Extensions()[OrgExtension].(string)
		err = e.readSessionStatus(ce.Data(), org)
	default:
		return Event{}, &fieldError{"type", fmt.Sprintf("%.100q", e.Type), errUnknownType}
	}
	if err != nil {
		return Event{}, &fieldError{field: "data", cause: &oneLineError{err}}
	}
	return e, nil
}

// conversationData is the data of started, message and closed events.
type conversationData struct {
	conversation.Identity
	Policy json.RawMessage `json:"policy"`
	By     conversation.By `json:"by"`
}

func (e *Event) readConversationData(text []byte) error {
	var d conversationData
	if err := readData(text, &d); err != nil {
		return err
	}
	e.Identity, e.By = d.Identity, d.By
	if len(d.Policy) > 0 {
		strict := json.NewDecoder(bytes.NewReader(d.Policy))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&e.Policy); err != nil {
			return &fieldError{field: "policy", cause: jsonError(err)}
		}
	}
	return errors.Join(conversation.Start{Identity: e.Identity, Policy: e.Policy}.Validate(),
		conversation.Close{By: e.By}.Validate())
}

func (e *Event) readSessionStatus(text []byte, org string) error {
	if err := readData(text, &e.Status); err != nil {
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
		return fmt.Errorf("the extension attribute %q is missing: it names the org of a session-status event", OrgExtension)
	}
	return errors.Join(e.Identity.ValidateKey(), e.Status.Validate())
}

func readData(text []byte, into any) error {
	if len(text) == 0 {
		return errors.New("is missing")
	}
	if err := json.Unmarshal(text, into); err != nil {
		return jsonError(err)
	}
	return nil
}

// jsonError names the field of the wrong type and the JSON type that it must have.
func jsonError(err error) error {
	typeError, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return err
	}
	want := "an object"
	switch typeError.Type.Kind() {
	case reflect.String:
		want = "a string"
	case reflect.Bool:
		want = "true or false"
	default:
	}
	cause := fmt.Errorf("want %s, not a JSON %s", want, typeError.Value)
	if typeError.Field == "" {
		return cause
	}
	return &fieldError{field: typeError.Field[strings.LastIndex(typeError.Field, ".")+1:], cause: cause}
}

// withoutContent removes the part of the library's error that quotes the text or
// a value: it may be personal data.
func withoutContent(err error) error {
	text, _, _ := strings.Cut(err.Error(), ", error found in #")
	text, _, _ = strings.Cut(text, " value: ")
	return errors.New(text)
}
