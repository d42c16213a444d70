package conversation

import (
	"time"
	"unicode/utf8"
)

// Start says which conversation began and under which policy. It is the input of
// the workflow and the payload of [SignalStart].
//
// A Start may also be sent to a running conversation, to correct the identity or
// the policy. The newest Start by At counts.
type Start struct {
	Identity
	// Policy replaces the policy of an older Start. Default: see [Policy].
	Policy Policy `json:"policy,omitzero"`
	// At is when the conversation began. Default now; see [EventTime].
	At time.Time `json:"at,omitzero"`
	// Provisional marks a workflow input that the sender made from another event,
	// because no Start had arrived yet. The next Start without this mark replaces
	// it, even if that Start has an older At.
	Provisional bool `json:"provisional,omitempty"`
	// Previous is the session before this one, if the sender of the start knows it:
	// it has looked up the last run of the conversation. It counts only as the
	// input of a new workflow. With it, an event of the previous session that
	// arrives late is recognised.
	Previous *PreviousSession `json:"previous,omitempty"`
}

// PreviousSession is what is known of a session that has ended.
type PreviousSession struct {
	// SessionID is its id, if known.
	SessionID string `json:"sessionId,omitempty"`
	// EndsEventsUntil: an event up to this time belongs to it.
	EndsEventsUntil time.Time `json:"endsEventsUntil,omitzero"`
}

// Validate checks every field. The error is an [*InvalidError]. A provisional
// Start need not pass: [Start.ValidateProvisional] is enough.
func (s Start) Validate() error {
	var p problems
	p.include(s.Identity.Validate())
	p.include(s.validateRest())
	return p.err()
}

// ValidateProvisional checks what a provisional Start must have right too: it names
// the conversation, and the other fields of the identity are absent or within their
// limits. The error is an [*InvalidError].
func (s Start) ValidateProvisional() error {
	var p problems
	p.include(s.ValidateKey())
	p.optional("authorizationContext", s.AuthorizationContext)
	p.optional("channelAddressIdentifier", s.ChannelAddressIdentifier)
	p.optional("endUserClientId", s.EndUserClientID)
	p.sessionID(s.SessionID)
	p.include(s.validateRest())
	return p.err()
}

func (s Start) validateRest() error {
	var p problems
	p.include(s.Policy.Validate())
	p.time("at", s.At)
	if s.Previous != nil {
		p.prefixed("previous", func(p *problems) {
			p.sessionID(s.Previous.SessionID)
			p.time("endsEventsUntil", s.Previous.EndsEventsUntil)
		})
	}
	return p.err()
}

// Message says that a message was written, by the end user or to the end user. It
// is the payload of [SignalMessage]. It has no field for the text.
//
// The idle time starts again at At. A message on an Inactive conversation makes
// it Active. An older message never moves the idle deadline back.
type Message struct {
	// SessionID is the session of the message, if known. A message of a new
	// session means that the current session has ended.
	SessionID string `json:"sessionId,omitempty"`
	// At is when the message was written. Default now; see [EventTime].
	At time.Time `json:"at,omitzero"`
	// Lease is acquired, renewed or released by this Message. Absent: no change.
	Lease Lease `json:"lease,omitzero"`
}

// Validate checks every field. The error is an [*InvalidError].
func (m Message) Validate() error {
	var p problems
	p.sessionID(m.SessionID)
	p.time("at", m.At)
	p.include(m.Lease.Validate())
	return p.err()
}

// Close says that the chat is over: end the session. It is the payload of
// [SignalClose] and [UpdateClose].
type Close struct {
	// By says who closed the chat: [EndUser] for a hang-up, else [System].
	// Default System.
	By By `json:"by,omitempty"`
	// SessionID is the session to end, if known. A Close of an earlier session
	// does not end the current one.
	SessionID string `json:"sessionId,omitempty"`
	// At is when the chat was closed. Default now; see [EventTime].
	At time.Time `json:"at,omitzero"`
}

// Validate checks every field. The error is an [*InvalidError].
func (c Close) Validate() error {
	var p problems
	if c.By != "" && c.By != EndUser && c.By != System {
		p.add("by", "must be EndUser or System")
	}
	p.sessionID(c.SessionID)
	p.time("at", c.At)
	return p.err()
}

// CallFailing says that a call to Salesforce has failed several times and is still
// tried again. It is the payload of [SignalCallFailing].
type CallFailing struct {
	// ActivityID is the activity that makes the call.
	ActivityID string `json:"activityId"`
	// Since is when its first attempt failed.
	Since time.Time `json:"since"`
	// Attempts is how many attempts have failed.
	Attempts int `json:"attempts"`
	// Answer is the answer to the last of them.
	Answer Answer `json:"answer"`
}

// Validate checks every field. The error is an [*InvalidError].
func (c CallFailing) Validate() error {
	var p problems
	p.identifier("activityId", c.ActivityID)
	if c.Attempts < 1 || c.Attempts > maxAttempts {
		p.add("attempts", "must be from 1 to %d", maxAttempts)
	}
	p.time("since", c.Since)
	p.prefixed("answer", func(p *problems) {
		p.optional("operation", string(c.Answer.Operation))
		p.optional("by", string(c.Answer.By))
		p.optional("reason", c.Answer.Reason)
		p.optional("code", c.Answer.Code)
		p.optional("requestId", c.Answer.RequestID)
		p.time("at", c.Answer.At)
		switch {
		case len(c.Answer.Message) > maxMessage:
			p.add("message", "has more than %d bytes", maxMessage)
		case !utf8.ValidString(c.Answer.Message):
			p.add("message", "is not valid UTF-8")
		}
	})
	return p.err()
}

// maxAttempts is more than a call can have: a year with an attempt a minute.
const maxAttempts = 1_000_000

// maxMessage limits a text of Salesforce. The worker cuts it to less.
const maxMessage = 4096

// Retry is the payload of [SignalRetry]. It has no fields.
type Retry struct{}

// SessionStatus is a SessionStatusChanged entry of Salesforce, as a partner
// receives it by its Pub/Sub API subscription. It is the payload of
// [SignalSessionStatus].
type SessionStatus struct {
	// SessionID is the session that changed. Required.
	SessionID                string `json:"sessionId"`
	ConversationIdentifier   string `json:"conversationIdentifier,omitempty"`
	ChannelAddressIdentifier string `json:"channelAddressIdentifier,omitempty"`
	// Status is one of the constants StatusNew to StatusEnded, or a status that
	// this version does not know. Required.
	Status         string `json:"sessionStatus"`
	PreviousStatus string `json:"sessionStatusPrev,omitempty"`
	// EndedByRole is who ended the session, such as "Agent".
	EndedByRole string    `json:"sessionEndedByRole,omitempty"`
	StartTime   Timestamp `json:"sessionStartTime,omitzero"`
	EndTime     Timestamp `json:"sessionEndTime,omitzero"`
	// At is when Salesforce sent the entry. Default EndTime, else now.
	At time.Time `json:"at,omitzero"`
}

// Values of SessionStatus.Status that change the phase of a conversation. Any
// other value is recorded and shown, and changes no phase.
const (
	StatusNew      = "New"
	StatusWaiting  = "Waiting"
	StatusActive   = "Active"
	StatusInactive = "Inactive"
	StatusEnded    = "Ended"
)

// IsAlive reports whether the session is neither Inactive nor Ended.
func (s SessionStatus) IsAlive() bool {
	return s.Status == StatusNew || s.Status == StatusWaiting || s.Status == StatusActive
}

// Validate checks every field. The error is an [*InvalidError].
func (s SessionStatus) Validate() error {
	var p problems
	if s.SessionID == "" {
		p.add("sessionId", "is missing")
	}
	p.sessionID(s.SessionID)
	p.identifier("sessionStatus", s.Status)
	p.optional("conversationIdentifier", s.ConversationIdentifier)
	p.optional("channelAddressIdentifier", s.ChannelAddressIdentifier)
	p.optional("sessionStatusPrev", s.PreviousStatus)
	p.optional("sessionEndedByRole", s.EndedByRole)
	p.time("sessionStartTime", s.StartTime.Time)
	p.time("sessionEndTime", s.EndTime.Time)
	p.time("at", s.At)
	return p.err()
}
