package activities

import "context"

// TemporalClient is the part of Temporal's client that an attempt needs.
type TemporalClient = temporalClient

// NewWithClient returns activities for tests: the SDK's test environment has no client.
func NewWithClient(orgs Orgs, of func(context.Context) TemporalClient) *Activities {
	return &Activities{orgs: orgs, temporal: of}
}

// Explain is the message of an activity's error.
var Explain = explain

// NewClaim is newClaim.
var NewClaim = newClaim

// Release is release.
func (c *claim) Release() { c.release() }

// StopTimer makes the claim's timer late.
func (c *claim) StopTimer() { c.timer.Stop() }
