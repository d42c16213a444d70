package simulator

import (
	"slices"
	"time"
)

// Status of a messaging session in Salesforce.
type Status string

// The documented statuses of a messaging session.
const (
	StatusNew      Status = "New"
	StatusWaiting  Status = "Waiting"
	StatusActive   Status = "Active"
	StatusInactive Status = "Inactive"
	StatusEnded    Status = "Ended"
	StatusConsent  Status = "Consent"
	StatusPaused   Status = "Paused"
	StatusError    Status = "Error"
)

var statuses = []Status{StatusNew, StatusWaiting, StatusActive, StatusInactive, StatusEnded, StatusConsent, StatusPaused, StatusError}

// Operation of POST /api/v1/messagingSession.
type Operation string

// The documented operations.
const (
	End        Operation = "End"
	Inactivate Operation = "Inactivate"
)

var operations = []Operation{End, Inactivate}

// result is the status an allowed operation leaves a session in.
func (op Operation) result() Status {
	if op == End {
		return StatusEnded
	}
	return StatusInactive
}

// operators are the documented values of operationBy.
var operators = []string{"EndUser", "System"}

// Session is one messaging session of a conversation.
type Session struct {
	// ID is the MessagingSession record id: 18 characters beginning with 0Mw.
	ID string `json:"sessionId"`
	// ConversationIdentifier names the conversation, which outlives sessions.
	ConversationIdentifier string `json:"conversationIdentifier"`
	// ChannelAddressIdentifier of its channel; empty fits any channel.
	ChannelAddressIdentifier string `json:"channelAddressIdentifier,omitempty"`
	// EndUserClientID is who it is with; empty fits any end user. The HTTP
	// control endpoints accept it and never show it.
	EndUserClientID string `json:"endUserClientId,omitempty"`
	// Status defaults to New.
	Status Status `json:"status"`
	// AppearsAfter hides the session from operations for so long after
	// CreatedAt.
	AppearsAfter Duration `json:"appearsAfter,omitempty"`
	// CreatedAt and ChangedAt are set by the simulator.
	CreatedAt time.Time `json:"createdAt"`
	// ChangedAt is when the status last changed.
	ChangedAt time.Time `json:"changedAt"`
}

func (s *Session) visible(now time.Time) bool {
	return !now.Before(s.CreatedAt.Add(time.Duration(s.AppearsAfter)))
}

func (s *Session) become(status Status, now time.Time) {
	if s.Status != status {
		s.Status, s.ChangedAt = status, now
	}
}

// conversation of an end user on a channel, with its sessions in order of
// creation. The last is the current one.
type conversation struct {
	id             string
	channelAddress string
	endUser        string
	sessions       []*Session
}

func (c *conversation) current() *Session {
	return c.sessions[len(c.sessions)-1]
}

func (c *conversation) fits(channelAddress, endUser string) bool {
	return (c.channelAddress == "" || c.channelAddress == channelAddress) &&
		(c.endUser == "" || c.endUser == endUser)
}

// visible are the sessions an operation can see.
func (c *conversation) visible(now time.Time) []*Session {
	var seen []*Session
	for _, s := range c.sessions {
		if s.visible(now) {
			seen = append(seen, s)
		}
	}
	return seen
}

// find returns the session of that id among those visible, or the latest of
// them when id is empty.
func (c *conversation) find(id string, now time.Time) (*Session, Cause) {
	seen := c.visible(now)
	if len(seen) == 0 {
		return nil, ActiveConversationNotFound
	}
	if id == "" {
		return seen[len(seen)-1], ""
	}
	i := slices.IndexFunc(seen, func(s *Session) bool { return s.ID == id })
	if i < 0 {
		return nil, SessionNotFound
	}
	return seen[i], ""
}
