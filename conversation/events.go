package conversation

import (
	"encoding/json"
	"fmt"
	"time"
)

// Start is the workflow's input and the payload of [SignalStart]. The latest
// Start by event time wins, so a corrected identity or policy may be sent to a
// running conversation.
type Start struct {
	Identity
	Policy Policy `json:"policy,omitzero"`
	// At is when it happened, by the routing system's clock. Absent or in the
	// future means now.
	At time.Time `json:"at,omitzero"`
	// Lease is held, renewed or released with this report. Absent: no change.
	Lease Lease `json:"lease,omitzero"`
	// Provisional marks an input that was made from another event than a start,
	// because that one came first: what a start says takes its place, whatever
	// their times.
	Provisional bool `json:"provisional,omitempty"`
}

// Validate reports every wrong field, as an [*InvalidError].
func (s Start) Validate() error {
	var p problems
	p.include(s.Identity.Validate())
	p.include(s.Policy.Validate())
	p.include(s.Lease.Validate())
	return p.err()
}

// Message is the payload of [SignalMessage]: somebody wrote. The text itself
// is of no interest here and has no field.
type Message struct {
	// SessionID is the session the message belongs to, where known.
	SessionID string `json:"sessionId,omitempty"`
	// At is when it was written. Absent or in the future means now; older than
	// what is known never moves the clock back.
	At time.Time `json:"at,omitzero"`
	// Lease is held, renewed or released with this report. Absent: no change.
	Lease Lease `json:"lease,omitzero"`
}

// Validate reports every wrong field, as an [*InvalidError].
func (m Message) Validate() error {
	var p problems
	p.sessionID(m.SessionID)
	p.include(m.Lease.Validate())
	return p.err()
}

// Lease is what a sender holds on a conversation while it collects messages
// instead of reporting each of them. It comes with a start or a message, and
// lasts until At + Duration. Until then the conversation counts as alive.
//
// Before the lease ends, its holder reports its last message with a new lease
// (the lease is renewed), or, when there was no further message, sends the same
// report again with a Lease that has a Holder and no Duration (the lease is
// released). A lease that is neither renewed nor released in time expires.
//
// A lease belongs to its holder. Only a report of the same holder renews or
// releases it, and only if that report is not older than the one that acquired
// it. A sender that reports every message needs no lease and leaves it out.
type Lease struct {
	// Holder names the sender that holds the lease. At most 240 characters. No
	// two senders that run at the same time may share a name.
	Holder string `json:"holder,omitempty"`
	// Duration is how long the lease lasts, counted from At. Zero releases the
	// holder's lease. Keep it to inactivateAfter or less: with a longer one, an
	// Inactivate may be late even while the sender lives.
	Duration Duration `json:"duration,omitzero"`
}

// Validate reports every wrong field, as an [*InvalidError].
func (l Lease) Validate() error {
	var p problems
	if l.Holder != "" {
		p.identifier("lease.holder", l.Holder)
	}
	switch {
	case l.Duration < 0:
		p.add("lease.duration", "must not be negative")
	case time.Duration(l.Duration) > longest:
		p.add("lease.duration", "must be at most %s", Duration(longest))
	case l.Duration > 0 && l.Holder == "":
		p.add("lease.holder", "is missing: a lease belongs to a sender")
	}
	return p.err()
}

// Close is the payload of [SignalClose] and [UpdateClose].
type Close struct {
	// By says whose doing it is: EndUser for a hang-up, System otherwise.
	// Default System.
	By By `json:"by,omitempty"`
	// SessionID is the session that is over, where known. A close of an earlier
	// session leaves the present one alone.
	SessionID string `json:"sessionId,omitempty"`
	// At is when it happened. Absent or in the future means now.
	At time.Time `json:"at,omitzero"`
}

// Validate reports every wrong field, as an [*InvalidError].
func (c Close) Validate() error {
	var p problems
	if c.By != "" && c.By != EndUser && c.By != System {
		p.add("by", "must be EndUser or System")
	}
	p.sessionID(c.SessionID)
	return p.err()
}

// Retry is the payload of [SignalRetry]. It has no fields.
type Retry struct{}

// SessionStatus is Salesforce's SessionStatusChanged entry, as a partner
// receives it on its Pub/Sub API subscription, with the time it was sent.
type SessionStatus struct {
	SessionID                string    `json:"sessionId"`
	ConversationIdentifier   string    `json:"conversationIdentifier,omitempty"`
	ChannelAddressIdentifier string    `json:"channelAddressIdentifier,omitempty"`
	Status                   string    `json:"sessionStatus"`
	PreviousStatus           string    `json:"sessionStatusPrev,omitempty"`
	EndedByRole              string    `json:"sessionEndedByRole,omitempty"`
	StartTime                Timestamp `json:"sessionStartTime,omitzero"`
	EndTime                  Timestamp `json:"sessionEndTime,omitzero"`
	// At is when the entry was sent. Absent means EndTime, or now.
	At time.Time `json:"at,omitzero"`
}

// Session statuses that move a conversation. Others are only recorded.
const (
	StatusNew      = "New"
	StatusWaiting  = "Waiting"
	StatusActive   = "Active"
	StatusInactive = "Inactive"
	StatusEnded    = "Ended"
)

// Validate reports every wrong field, as an [*InvalidError].
func (s SessionStatus) Validate() error {
	var p problems
	if s.SessionID == "" {
		p.add("sessionId", "is missing")
	}
	p.sessionID(s.SessionID)
	if s.Status == "" {
		p.add("sessionStatus", "is missing")
	}
	return p.err()
}

// Timestamp is a time in Salesforce's entries. How they are written is not
// documented, so it reads RFC 3339, Salesforce's "+0000" zone form and
// milliseconds since 1970. It writes RFC 3339.
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
			return fmt.Errorf("time %d: want milliseconds since 1970, of a year from 0 to 9999", millis)
		}
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("time %s: want RFC 3339 or milliseconds since 1970", data)
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
	return fmt.Errorf("time %q: want RFC 3339 or milliseconds since 1970", text)
}
