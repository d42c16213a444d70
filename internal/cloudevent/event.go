// Package cloudevent reads a routing system's events: CloudEvents 1.0 whose data
// carries the conversation's identity.
package cloudevent

import (
	"context"
	"errors"
	"math"
	"time"

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

// OrgExtension is the extension attribute with the org of a session-status event:
// the data of such an event is Salesforce's own entry, which does not contain it.
const OrgExtension = "orgid"

// Event is one event of a routing system.
type Event struct {
	// ID is the CloudEvent's id. It is for people only: a repeated event is
	// recognized by its content.
	ID string
	// Source is the CloudEvent's source: the system that sent it.
	Source string
	Type   string
	// At is the CloudEvent's time, zero when it has none.
	At       time.Time
	Identity conversation.Identity
	// Policy is set for started events.
	Policy conversation.Policy
	// By is set for closed events.
	By conversation.By
	// Status is the data of session-status events.
	Status conversation.SessionStatus
}

// MovedTo returns the event as if it had happened at another time. The times in
// Salesforce's own entry keep their distance from it, divided by speed. No time is
// before 1970: the workflow would refuse it.
func (e Event) MovedTo(at time.Time, speed float64) Event {
	at = notBefore1970(at)
	move := func(t *conversation.Timestamp) {
		if !t.IsZero() {
			distance := min(max(float64(t.Sub(e.At))/speed, math.MinInt64/2), math.MaxInt64/2)
			t.Time = notBefore1970(at.Add(time.Duration(distance)))
		}
	}
	move(&e.Status.StartTime)
	move(&e.Status.EndTime)
	e.At, e.Status.At = at, at
	return e
}

func notBefore1970(at time.Time) time.Time {
	if epoch := time.Unix(0, 0).UTC(); at.Before(epoch) {
		return epoch
	}
	return at
}

// Send sends the event to its conversation.
func (e Event) Send(ctx context.Context, s *sender.Sender) (sender.Receipt, error) {
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
		return "", errors.New("unknown type of event")
	}
}
