package interaction

import "slices"

// ErrorReason is Salesforce's errorReason: why an operation failed. Salesforce has
// added reasons before, so there may be values that are not listed here.
type ErrorReason string

// The reasons that Salesforce documents.
const (
	ReasonActiveConversationNotFound     ErrorReason = "ACTIVE_CONVERSATION_NOT_FOUND"
	ReasonChannelAddressIsInactive       ErrorReason = "CHANNEL_ADDRESS_IS_INACTIVE"
	ReasonChannelAddressNotFound         ErrorReason = "CHANNEL_ADDRESS_NOT_FOUND"
	ReasonConversationPreconditionFailed ErrorReason = "CONVERSATION_PRECONDITION_FAILED"
	ReasonConversationProcessingAborted  ErrorReason = "CONVERSATION_PROCESSING_ABORTED"
	ReasonCustomerError                  ErrorReason = "CUSTOMER_ERROR"
	ReasonEndSessionFailed               ErrorReason = "END_SESSION_FAILED"
	ReasonEndUserNotFound                ErrorReason = "END_USER_NOT_FOUND"
	ReasonInternalError                  ErrorReason = "INTERNAL_ERROR"
	ReasonNoAccess                       ErrorReason = "NO_ACCESS"
	ReasonOrgNotFound                    ErrorReason = "ORG_NOT_FOUND"
	ReasonPermissionDenied               ErrorReason = "PERMISSION_DENIED"
	ReasonSessionNotFound                ErrorReason = "SESSION_NOT_FOUND"
)

var knownReasons = []ErrorReason{
	ReasonActiveConversationNotFound,
	ReasonChannelAddressIsInactive,
	ReasonChannelAddressNotFound,
	ReasonConversationPreconditionFailed,
	ReasonConversationProcessingAborted,
	ReasonCustomerError,
	ReasonEndSessionFailed,
	ReasonEndUserNotFound,
	ReasonInternalError,
	ReasonNoAccess,
	ReasonOrgNotFound,
	ReasonPermissionDenied,
	ReasonSessionNotFound,
}

// Reasons returns every documented reason, in alphabetical order.
func Reasons() []ErrorReason { return slices.Clone(knownReasons) }

// Known reports whether Salesforce documents the reason.
func (r ErrorReason) Known() bool { return slices.Contains(knownReasons, r) }
