package conversation

import "time"

// Why says why a conversation ended.
type Why string

// The reasons why a conversation ends.
const (
	// Closed: the routing system sent a [Close], and Salesforce ended the session.
	Closed Why = "Closed"
	// Idle: the session stayed Inactive for endAfter, and Salesforce ended it.
	Idle Why = "Idle"
	// EndedInSalesforce: Salesforce reported that the session ended. It was not
	// called.
	EndedInSalesforce Why = "EndedInSalesforce"
	// AlreadyOver: Salesforce answered that there is no such session.
	AlreadyOver Why = "AlreadyOver"
	// NewSession: another session of the same conversation began.
	NewSession Why = "NewSession"
	// Canceled: an operator cancelled the workflow, and its policy has
	// endOnCancel, so the session was ended first.
	Canceled Why = "Canceled"
)

// Outcome says how a conversation ended. It is the result of the workflow and the
// answer of [UpdateClose]. If an operator cancelled the workflow, and it has ended the
// session first, it is the details of the cancellation.
type Outcome struct {
	Why Why `json:"why"`
	// EndedBy is "EndUser" or "System" if the worker ended the session, else the
	// role that Salesforce reported, such as "Agent". Empty if unknown.
	EndedBy string `json:"endedBy,omitempty"`
	// At is when the worker knew that the session had ended in Salesforce.
	At time.Time `json:"at"`
	// EndsEventsUntil: an event up to this time belongs to the session that
	// ended. A later event starts the next generation of the conversation.
	EndsEventsUntil time.Time `json:"endsEventsUntil"`
	// SessionID is the session that ended, if known.
	SessionID string `json:"sessionId,omitempty"`
	// StartedAt is when that session began, as far as known.
	StartedAt time.Time `json:"startedAt,omitzero"`
	// Attempts is the number of attempts of all calls in this generation of the
	// conversation. Attempts without a known result are not counted.
	Attempts int `json:"attempts"`
	// LastAnswer is the last answer of Salesforce, nil if there was no call.
	LastAnswer *Answer `json:"lastAnswer,omitempty"`
	// Policy is the policy that was in force. A conversation that begins again
	// with another event than a start keeps it.
	Policy Policy `json:"policy,omitzero"`
}

// EndedByWorker reports whether a successful End of the worker ended the session.
func (o Outcome) EndedByWorker() bool { return o.Why == Closed || o.Why == Idle || o.Why == Canceled }

// MayBeInactive reports whether the session may be Inactive and not over: Salesforce
// answered to an Inactivate only that there is no active conversation. An event after
// EndsEventsUntil begins the conversation again, also if it names this session.
func (o Outcome) MayBeInactive() bool {
	return o.Why == AlreadyOver && o.LastAnswer != nil && o.LastAnswer.NotActive
}

// Answer is what Salesforce answered to one call, or why there was no answer.
type Answer struct {
	Operation Operation `json:"operation"`
	By        By        `json:"by"`
	// Reason is Salesforce's errorReason, or the worker's own name for a failure
	// without one. Empty for a success.
	Reason string `json:"reason,omitempty"`
	// AlreadyOver: Salesforce did not carry out the call, because the session was over.
	AlreadyOver bool `json:"alreadyOver,omitempty"`
	// NotActive: Salesforce answered to Inactivate that there is no active
	// conversation. The session may be Inactive already, or over.
	NotActive bool   `json:"notActive,omitempty"`
	Message   string `json:"message,omitempty"`
	// HTTPStatus is 0 if there was no HTTP answer.
	HTTPStatus int `json:"httpStatus,omitempty"`
	// Code is Salesforce's error code, if it sent one.
	Code string `json:"code,omitempty"`
	// RequestID is the RequestId header of the request. Salesforce's support asks
	// for it.
	RequestID string `json:"requestId,omitempty"`
	// Attempt is the number of the attempt, from 1; 0 if unknown.
	Attempt int `json:"attempt"`
	// At is when the answer arrived, by Temporal's clock.
	At time.Time `json:"at"`
}

// By is Salesforce's operationBy: on whose behalf a session is changed.
type By string

// The values of operationBy that Salesforce documents.
const (
	EndUser By = "EndUser"
	System  By = "System"
)

// Operation is a call to Salesforce that changes a messaging session.
type Operation string

// The operations that Salesforce documents.
const (
	Inactivate Operation = "Inactivate"
	End        Operation = "End"
)
