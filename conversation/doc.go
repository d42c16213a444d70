// Package conversation is the published contract of sessionkeeper: the names and
// the payloads with which a routing system and a conversation's workflow talk to
// each other. It only holds data types and checks them. To send events from Go,
// use package sender. Programs in other languages use a Temporal client and the
// same JSON, which docs/contract describes as JSON Schema and AsyncAPI.
//
// A conversation is one conversationIdentifier of one Salesforce org. One
// Temporal workflow keeps it: type [WorkflowType], task queue [DefaultTaskQueue],
// workflow id [Identity.WorkflowID]. The workflow makes the Salesforce session
// Inactive when the chat is idle. It ends the session when the chat is closed, or
// when it stays Inactive for too long. The times are in [Policy].
//
// # Names and payloads
//
//	workflow  Conversation    input Start, result Outcome
//	signal    start           Start: a conversation began, or a correction
//	signal    message         Message: a message was written
//	signal    close           Close: end the session
//	signal    session-status  SessionStatus: Salesforce changed the session
//	signal    retry           Retry: try a blocked call again
//	update    close           Close, answers with Outcome
//	query     status          answers with Status
//
// Send an event by SignalWithStart, or by StartWorkflow if it is a [Start]. Then
// events may arrive in any order, and more than once.
//
// # Format
//
// Payloads are JSON as Temporal's default data converter writes it (encoding
// "json/plain"). Unknown fields are ignored. Leave out a field that has no value;
// then it takes its default.
//
// Times are RFC 3339 with a time zone. [EventTime] says which time counts for an
// event. Durations are strings with units, such as "10m" or "1h30m"; see
// [Duration]. Lengths of text are in characters.
//
// # Errors
//
// Each payload has a Validate method. It returns nil or an [*InvalidError], which
// names every wrong field by its JSON name. No error of a Validate method repeats
// a value, because values may be personal data.
//
// The workflow fails when an operator is needed for longer than
// [Policy].BlockedFor. Then the failure is an ApplicationFailure: its type is the
// reason, and its first detail is an [Answer].
package conversation
