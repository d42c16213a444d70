// Package conversation is the vocabulary of sessionkeeper and its published
// wire contract: who a conversation is, how long it may be quiet, what can be
// said to it, and what it answers.
//
// Everything here is plain JSON under Temporal's default data converter
// (encoding "json/plain"), so a Temporal client in any language can start a
// conversation, signal it and read its outcome. Times are RFC 3339, durations
// are Go duration strings such as "10m".
//
// A conversation is one workflow of type [WorkflowType] with the workflow id
// [Identity.WorkflowID]. Its input is one [Start]. Events reach it by
// SignalWithStart, so that no order of arrival loses anything.
package conversation
