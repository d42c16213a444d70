// Package cloudevent reads a routing system's events: CloudEvents 1.0 whose data
// carries the conversation's identity.
package cloudevent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

// Types of events.
const (
	TypeStarted       = "sessionkeeper.conversation.started"
	TypeMessage       = "sessionkeeper.conversation.message"
	TypeClosed        = "sessionkeeper.conversation.closed"
	TypeSessionStatus = "sessionkeeper.conversation.session-status"
)

// OrgExtension is the extension attribute that names the org of a
// session-status event, whose data is Salesforce's own entry and does not.
const OrgExtension = "orgid"

var errUnknownType = fmt.Errorf("want %s, %s, %s or %s", TypeStarted, TypeMessage, TypeClosed, TypeSessionStatus)

// Event is one event of a routing system.
type Event struct {
	// ID is the CloudEvent's id, for people; repeated events are recognised by
	// what they say.
	ID   string
	Type string
	// At is the CloudEvent's time, zero when it has none.
	At       time.Time
	Identity conversation.Identity
	// Policy is given by started events.
	Policy conversation.Policy
	// By is given by closed events.
	By conversation.By
	// Status is the data of session-status events.
	Status conversation.SessionStatus
}

// data is what the events of our own types carry.
type data struct {
	conversation.Identity
	Policy json.RawMessage `json:"policy"`
	By     conversation.By `json:"by"`
}

// Parse reads one event in CloudEvents' JSON format. The error is one line that
// names the field that is wrong, and repeats nothing of data. Unknown fields are
// ignored, except in policy, where a misspelled one would pass for its default.
func Parse(text []byte) (Event, error) {
	ce, err := parseCloudEvent(text)
	if err != nil {
		return Event{}, fmt.Errorf("not a CloudEvent: %w", err)
	}
	return read(ce)
}

// From is [Parse] on an event that the CloudEvents library has read, such as one
// whose attributes are HTTP headers.
func From(ce event.Event) (Event, error) {
	if err := check(ce); err != nil {
		return Event{}, fmt.Errorf("not a CloudEvent: %w", err)
	}
	return read(ce)
}

func read(ce event.Event) (Event, error) {
	var err error
	e := Event{ID: ce.ID(), Type: ce.Type(), At: ce.Time()}
	switch e.Type {
	case TypeStarted, TypeMessage, TypeClosed:
		err = e.readOwn(ce.Data())
	case TypeSessionStatus:
		org, _ := ce.Extensions()[OrgExtension].(string)
		err = e.readStatus(ce.Data(), org)
	default:
		return Event{}, &wrong{"type", fmt.Sprintf("%.100q", e.Type), errUnknownType}
	}
	if err != nil {
		return Event{}, &wrong{field: "data", cause: &line{err}}
	}
	return e, nil
}

func (e *Event) readOwn(text []byte) error {
	var d data
	if err := readData(text, &d); err != nil {
		return err
	}
	e.Identity, e.By = d.Identity, d.By
	if len(d.Policy) > 0 {
		strict := json.NewDecoder(bytes.NewReader(d.Policy))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&e.Policy); err != nil {
			return &wrong{field: "policy", cause: wrongType(err)}
		}
	}
	return errors.Join(conversation.Start{Identity: e.Identity, Policy: e.Policy}.Validate(),
		conversation.Close{By: e.By}.Validate())
}

func (e *Event) readStatus(text []byte, org string) error {
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
		return wrongType(err)
	}
	return nil
}

// MovedTo is the event as if it had happened at another time. The times inside
// Salesforce's own entry keep their distance, divided by speed.
func (e Event) MovedTo(at time.Time, speed float64) Event {
	move := func(t *conversation.Timestamp) {
		if !t.IsZero() {
			t.Time = at.Add(time.Duration(float64(t.Sub(e.At)) / speed))
		}
	}
	move(&e.Status.StartTime)
	move(&e.Status.EndTime)
	e.At, e.Status.At = at, at
	return e
}

// Tell passes the event on to its conversation.
func (e Event) Tell(ctx context.Context, s *sender.Sender) (sender.Receipt, error) {
	switch e.Type {
	case TypeStarted:
		return s.Start(ctx, conversation.Start{Identity: e.Identity, Policy: e.Policy, At: e.At})
	case TypeMessage:
		return s.Message(ctx, e.Identity, conversation.Message{At: e.At})
	case TypeClosed:
		return s.CloseConversation(ctx, e.Identity, conversation.Close{By: e.By, At: e.At})
	case TypeSessionStatus:
		return s.SessionStatus(ctx, e.Identity, e.Status)
	default:
		return "", fmt.Errorf("event %s: unknown type %q", e.ID, e.Type)
	}
}
