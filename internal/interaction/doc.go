// Package interaction is a client of Salesforce's Interaction Service call
// POST /api/v1/messagingSession, which ends a messaging session or marks it
// inactive, and of the OAuth flows that give access to it.
//
// A call either succeeds or returns an [*Error] that carries everything
// Salesforce said about the failure. The package makes no retry decision: it
// only renews an access token that was rejected and sends the request once
// more.
//
// No error text, log value or formatted value of this package contains an
// access token, an assertion, a client secret, a private key or the
// EndUserClientID of a request.
package interaction
