package conversation

import "go.temporal.io/sdk/temporal"

// Names of the workflow in Temporal. They belong to the contract: their meaning
// never changes.
const (
	// WorkflowType is the workflow type. Its input is a [Start], its result an
	// [Outcome].
	WorkflowType = "Conversation"
	// DefaultTaskQueue is the task queue of the workers, unless their
	// configuration names another one.
	DefaultTaskQueue = "sessionkeeper"

	// SignalStart carries a [Start]: the identity and the policy of the
	// conversation, or a correction of them.
	SignalStart = "start"
	// SignalMessage carries a [Message]: the end user, a rep or a bot wrote a
	// message.
	SignalMessage = "message"
	// SignalClose carries a [Close]: end the session.
	SignalClose = "close"
	// SignalSessionStatus carries a [SessionStatus]: Salesforce reported a change
	// of the session.
	SignalSessionStatus = "session-status"
	// SignalRetry carries a [Retry]: an operator removed the cause of a Blocked
	// conversation, so try the call again.
	SignalRetry = "retry"
	// SignalCallFailing carries a [CallFailing]. Only the worker sends it, once for
	// each call, when its third attempt has failed.
	SignalCallFailing = "call-failing"

	// UpdateClose carries a [Close], like SignalClose. The update completes when
	// the session has ended, and answers with the [Outcome].
	UpdateClose = "close"
	// ErrorNextRun is the type of UpdateClose's error when the close is of a session that
	// began while the workflow was ending the one before it. The next run of the
	// workflow ends that session. Send the update again to wait for its outcome.
	ErrorNextRun = "NEXT_RUN"
	// QueryStatus answers with a [Status].
	QueryStatus = "status"

	// ErrorWaitsForOrg begins the type of the failure of an activity that has sent nothing,
	// because its org lets no call go: "WAITS_FOR_ORG_PAUSED", for example. The next
	// attempt asks again.
	ErrorWaitsForOrg = "WAITS_FOR_ORG_"
)

// Search attributes, all of type Keyword. SessionPhase and OrgId have a value as
// long as the workflow exists. ErrorReason has one while the conversation is
// [Blocked], and while a call is tried again after its third failure.
var (
	SessionPhaseKey = temporal.NewSearchAttributeKeyKeyword("SessionPhase")
	OrgIDKey        = temporal.NewSearchAttributeKeyKeyword("OrgId")
	ErrorReasonKey  = temporal.NewSearchAttributeKeyKeyword("ErrorReason")
)

// SearchAttributes returns the names of the search attributes, all of type
// Keyword. They must be registered in the namespace.
func SearchAttributes() []string {
	return []string{SessionPhaseKey.GetName(), OrgIDKey.GetName(), ErrorReasonKey.GetName()}
}
