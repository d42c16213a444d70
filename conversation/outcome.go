package conversation

import "time"

// Why says why a conversation ended.
type Why string

// The ways a conversation ends.
const (
	// Closed: a close was asked for, and Salesforce knows.
	Closed Why = "Closed"
	// Idle: it stayed Inactive for endAfter, and Salesforce knows.
	Idle Why = "Idle"
	// EndedInSalesforce: Salesforce said that the session ended; no call was
	// made for it.
	EndedInSalesforce Why = "EndedInSalesforce"
	// AlreadyOver: Salesforce answered that there is no such session any more.
	AlreadyOver Why = "AlreadyOver"
	// NewSession: another session of the same conversation took its place.
	NewSession Why = "NewSession"
	// Canceled: an operator cancelled the workflow, and its policy asked to End
	// the session first.
	Canceled Why = "Canceled"
)

// Outcome is the workflow's result and the answer of [UpdateClose].
type Outcome struct {
	Why Why `json:"why"`
	// EndedBy is EndUser or System for a call of ours, or the role that
	// Salesforce named (Agent, Supervisor, …). Empty where nobody knows.
	EndedBy string `json:"endedBy,omitempty"`
	// At is when the end was known to both sides.
	At time.Time `json:"at"`
	// EndsEventsUntil: events up to this time belong to the session that ended.
	// A later event starts the next generation of the conversation.
	EndsEventsUntil time.Time `json:"endsEventsUntil"`
	// SessionID is the session that ended, where known.
	SessionID string `json:"sessionId,omitempty"`
	// Attempts counts the attempts of all calls of this generation of the
	// conversation, as far as their result arrived.
	Attempts int `json:"attempts"`
	// LastAnswer is Salesforce's last answer, absent when no call was made.
	LastAnswer *Answer `json:"lastAnswer,omitempty"`
}

// Answer is what Salesforce said to one call.
type Answer struct {
	Operation Operation `json:"operation"`
	By        By        `json:"by"`
	// Reason is Salesforce's errorReason, or our name for a failure that has
	// none. Empty for a success.
	Reason string `json:"reason,omitempty"`
	// AlreadyOver: the call found its goal reached.
	AlreadyOver bool   `json:"alreadyOver,omitempty"`
	Message     string `json:"message,omitempty"`
	HTTPStatus  int    `json:"httpStatus,omitempty"`
	// Code is Salesforce's error code, where it sent one.
	Code string `json:"code,omitempty"`
	// RequestID is the RequestId header of the request that got this answer.
	RequestID string    `json:"requestId,omitempty"`
	Attempt   int       `json:"attempt"`
	At        time.Time `json:"at"`
}

// Status is the answer of [QueryStatus]. It has no personal data.
type Status struct {
	Phase                  Phase  `json:"phase"`
	OrgID                  string `json:"orgId"`
	ConversationIdentifier string `json:"conversationIdentifier"`
	SessionID              string `json:"sessionId,omitempty"`
	// SessionStatus is the last status that Salesforce reported, if any.
	SessionStatus string    `json:"sessionStatus,omitempty"`
	StartedAt     time.Time `json:"startedAt"`
	LastMessageAt time.Time `json:"lastMessageAt,omitzero"`
	// LeaseUntil is when the last lease that is held ends, if that is later than
	// the last activity. Until then its holder may know of messages that are not
	// reported yet.
	LeaseUntil time.Time `json:"leaseUntil,omitzero"`
	// InactivateAt is when the session will be made Inactive, unless a message
	// arrives or a lease is released before.
	InactivateAt time.Time `json:"inactivateAt,omitzero"`
	// EndAt is when an Inactive session will be ended.
	EndAt time.Time `json:"endAt,omitzero"`
	// Calling is the call under way, if any.
	Calling Operation `json:"calling,omitempty"`
	// Blocked says why an operator is needed, and BlockedUntil when the
	// workflow gives up.
	Blocked      *Answer   `json:"blocked,omitempty"`
	BlockedUntil time.Time `json:"blockedUntil,omitzero"`
	LastAnswer   *Answer   `json:"lastAnswer,omitempty"`
	Policy       Policy    `json:"policy"`
	Outcome      *Outcome  `json:"outcome,omitempty"`
}
