package conversation

import "go.temporal.io/sdk/temporal"

// Names under which the workflow is found. They are part of the published
// contract and never change their meaning.
const (
	// WorkflowType is the workflow type: one workflow per conversation, input
	// [Start], result [Outcome].
	WorkflowType = "Conversation"
	// DefaultTaskQueue is where workers listen unless configured otherwise.
	DefaultTaskQueue = "sessionkeeper"

	// SignalStart carries a [Start]: the conversation's identity and policy, or
	// a correction of them.
	SignalStart = "start"
	// SignalMessage carries a [Message]: a message was written, by whomever.
	SignalMessage = "message"
	// SignalClose carries a [Close]: End the session.
	SignalClose = "close"
	// SignalSessionStatus carries a [SessionStatus]: Salesforce says so.
	SignalSessionStatus = "session-status"
	// SignalRetry carries a [Retry]: the cause of a block is removed, try again.
	SignalRetry = "retry"

	// UpdateClose is [SignalClose] for a caller that waits; it answers with the
	// [Outcome].
	UpdateClose = "close"
	// QueryStatus answers with a [Status].
	QueryStatus = "status"
)

// Search attributes, all of type Keyword. SessionPhase and OrgId are set from
// the start, ErrorReason while a conversation is Blocked.
var (
	SessionPhaseKey = temporal.NewSearchAttributeKeyKeyword("SessionPhase")
	OrgIDKey        = temporal.NewSearchAttributeKeyKeyword("OrgId")
	ErrorReasonKey  = temporal.NewSearchAttributeKeyKeyword("ErrorReason")
)

// SearchAttributes are the attributes a namespace must have registered, all of
// type Keyword.
func SearchAttributes() []string {
	return []string{SessionPhaseKey.GetName(), OrgIDKey.GetName(), ErrorReasonKey.GetName()}
}
