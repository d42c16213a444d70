package activities

import "context"

// Signaler is the part of Temporal's client that sends signals.
type Signaler = signaler

// NewWithSignaler returns activities for tests: the SDK's test environment has no
// client that could send the signals.
func NewWithSignaler(orgs Orgs, of func(context.Context) Signaler) *Activities {
	return &Activities{orgs: orgs, workflows: of}
}

// Explain is the message of an activity's error.
var Explain = explain
