// Package simulator stands in for Salesforce's Interaction Service and its
// token endpoint. It rejects whatever Salesforce would reject, keeps sessions
// with statuses, fails on demand (see [Fault]) and writes a journal of every
// request and its answer (see [Entry]).
//
// It shares no types with any client, so that a mistake made in a client is not
// repeated here. What Salesforce does not document is a setting in [Behaviour].
//
// A [Simulator] is an http.Handler; one serves any number of orgs, told apart
// by their access tokens.
package simulator
