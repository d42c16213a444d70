package conversation

import "time"

// Phase is the phase of a conversation, and the value of the search attribute
// SessionPhase. A conversation goes from Active to Inactive to Ended. From
// Inactive it may go back to Active.
type Phase string

// The phases.
const (
	// Active: the chat is alive, and its idle time is measured.
	Active Phase = "Active"
	// Inactive: the chat was idle, and Salesforce has the session as Inactive.
	Inactive Phase = "Inactive"
	// Ended: the session is over.
	Ended Phase = "Ended"
	// Blocked: Salesforce refused a call for a reason that only an operator can
	// remove. The conversation waits for the operator and still accepts events.
	Blocked Phase = "Blocked"
)

// Closing is a requested close.
type Closing struct {
	By By `json:"by"`
	// SessionID is the id that the close named, if it named one.
	SessionID string `json:"sessionId,omitempty"`
	// At is when the chat was closed.
	At time.Time `json:"at"`
}

// Status is the answer of [QueryStatus]. It contains no personal data.
type Status struct {
	Phase                  Phase  `json:"phase"`
	OrgID                  string `json:"orgId"`
	ConversationIdentifier string `json:"conversationIdentifier"`
	// SessionID is the current session, if known.
	SessionID string `json:"sessionId,omitempty"`
	// SessionStatus is the last status that Salesforce reported, if any.
	SessionStatus string `json:"sessionStatus,omitempty"`
	// StartedAt is when the current session began, as far as known.
	StartedAt     time.Time `json:"startedAt"`
	LastMessageAt time.Time `json:"lastMessageAt,omitzero"`
	// LeaseUntil is the latest end of a lease that was not released, if that is
	// after the last activity. Its holder may have messages that it has not reported yet.
	LeaseUntil time.Time `json:"leaseUntil,omitzero"`
	// InactivateAt is the idle deadline: when the session will be made Inactive.
	// A message or the release of a lease may change it.
	InactivateAt time.Time `json:"inactivateAt,omitzero"`
	// EndAt is when an Inactive session will be ended.
	EndAt time.Time `json:"endAt,omitzero"`
	// Calling is the pending call to Salesforce, if any.
	Calling Operation `json:"calling,omitempty"`
	// Closing is the close that was requested, nil if none was or the session has ended.
	Closing *Closing `json:"closing,omitempty"`
	// Failing says that the pending call is tried again and again, nil if fewer
	// than three of its attempts have failed.
	Failing *CallFailing `json:"failing,omitempty"`
	// Blocked is the answer for which an operator is needed. It is nil unless the
	// phase is Blocked.
	Blocked *Answer `json:"blocked,omitempty"`
	// BlockedUntil is when the workflow fails if no operator helps.
	BlockedUntil time.Time `json:"blockedUntil,omitzero"`
	// LastAnswer is the last answer of Salesforce, nil if there was no call.
	LastAnswer *Answer `json:"lastAnswer,omitempty"`
	// Policy is the policy in force, with its defaults filled in.
	Policy Policy `json:"policy"`
	// Outcome is nil unless the phase is Ended.
	Outcome *Outcome `json:"outcome,omitempty"`
}
