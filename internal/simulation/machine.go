package simulation

import (
	"time"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
)

// Machine is the workflow of one run without Temporal: what it decides in one workflow
// task after another.
type Machine interface {
	Task(Task) Commands
	// Status is the answer of the query "status".
	Status() conversation.Status
}

// Beginning is how a run begins.
type Beginning struct {
	Start conversation.Start
	// Carried is what continue-as-new passed on, as JSON; nil for a first run.
	Carried []byte
	Now     time.Time
}

// Task is what is new in a workflow task.
type Task struct {
	Now     time.Time
	Signals []Signal
	Updates []Update
	// Result is the result of the call in flight, nil if it has none yet.
	Result *Result
	// Canceled: an operator has cancelled the workflow.
	Canceled bool
	// HistoryTooLong: the workflow should continue as new.
	HistoryTooLong bool
}

// Signal is a signal. Its payload is an event of package conversation, such as a Message.
type Signal struct {
	Name    string
	Payload any
}

// Update is a call of the update "close".
type Update struct {
	ID    string
	Close conversation.Close
}

// Result is the result of a call to Salesforce, as the workflow gets it.
type Result struct {
	Answer conversation.Answer
	Err    error
}

// Commands is what a workflow task decides.
type Commands struct {
	// Call starts a call to Salesforce, CancelCall cancels the one in flight.
	Call       *Call
	CancelCall bool
	// Timer is when the timer fires, zero if none is set.
	Timer time.Time
	// Resolved are the updates that return.
	Resolved []Resolved
	// Closed ends the run.
	Closed *Closed
}

// Call is a call to Salesforce.
type Call struct {
	Operation conversation.Operation
	activities.Request
	// HangUp: the call ends a chat that was closed.
	HangUp bool
}

// Resolved is the result of an update.
type Resolved struct {
	ID      string
	Outcome *conversation.Outcome
	Err     error
}

// Closed is how a run ended. At most one of its fields is set.
type Closed struct {
	Outcome *conversation.Outcome
	// Failed is the error of the workflow, Canceled that of a cancelled one.
	Failed, Canceled error
	// Next is the run that continues this one.
	Next *Next
}

// Next is what continue-as-new passes on.
type Next struct {
	Start   conversation.Start
	Carried []byte
}
