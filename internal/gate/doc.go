// Package gate decides when a call of one org may go.
//
// Every org of a worker has one [Gate]. A call asks it before it is sent. The answer is
// that it may go now, or when it has to ask again. There are four reasons to wait:
//
//   - the org is paused in the settings, or its settings are wrong;
//   - the org cannot be reached: after some failures without an answer, only one call at
//     a time tries whether it is back;
//   - Salesforce has refused calls because there were too many: calls wait for their turn,
//     at a pace that adapts to what Salesforce accepts;
//   - too many calls of the org are in flight.
//
// Hang-ups have their turn before other calls. A gate belongs to one worker: several
// workers find their shares of an org's rate by themselves.
package gate
