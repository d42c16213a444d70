// Package interaction is a client of Salesforce's Interaction Service call
// POST /api/v1/messagingSession, which ends a messaging session or marks it
// inactive, and of the OAuth flows that give access to it.
//
// A call succeeds or returns an [*Error] with everything that Salesforce answered.
// The package does not decide whether to retry. It only fetches a new access token
// if the current one is rejected, and then sends the request once more.
//
// No error text, log value or formatted value of this package contains an access
// token, an assertion, a client secret, a private key or the EndUserClientID of a
// request.
package interaction
