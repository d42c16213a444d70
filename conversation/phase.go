package conversation

// Phase is where a conversation stands. It is the value of the search
// attribute SessionPhase.
type Phase string

// The phases: Active → Inactive → Ended, with Active ⇄ Inactive, and Blocked
// while an operator is needed.
const (
	// Active: the chat is alive; the idle clock runs.
	Active Phase = "Active"
	// Inactive: Salesforce was told, or said, that the chat has gone quiet.
	Inactive Phase = "Inactive"
	// Ended: the session is over.
	Ended Phase = "Ended"
	// Blocked: Salesforce refused a call for a reason that only an operator can
	// remove. The conversation still listens.
	Blocked Phase = "Blocked"
)

// By is Salesforce's operationBy: on whose behalf a session is ended.
type By string

// The values of operationBy that Salesforce documents.
const (
	EndUser By = "EndUser"
	System  By = "System"
)

// Operation is Salesforce's operation on a messaging session.
type Operation string

// The operations that Salesforce documents.
const (
	Inactivate Operation = "Inactivate"
	End        Operation = "End"
)
