package activities

import "time"

// The time budget of a call. These limits depend on each other, so they are
// defined in one place.
const (
	// MaxRequestTimeout is the longest time that an org's configuration may allow
	// for one HTTP request.
	MaxRequestTimeout = 10 * time.Second
	// maxRequests is how many HTTP requests an attempt makes at most, one after
	// the other: a token request and an API request, and both again after a 401.
	maxRequests = 4
	// reportMargin is kept at the end of an attempt, so that the failure can still
	// be reported before AttemptTimeout.
	reportMargin = 2 * time.Second
	// AttemptTimeout limits one attempt (StartToCloseTimeout). Temporal starts the
	// next attempt after it, so an attempt must not be able to take longer.
	AttemptTimeout = 45 * time.Second
	// HeartbeatTimeout is after how long without a heartbeat Temporal starts another attempt.
	// It is how long a call waits whose worker has died.
	HeartbeatTimeout = 10 * time.Second
	// HeartbeatInterval is after how long, and how often, a call sends heartbeats. Most calls
	// end before the first one, which Temporal Cloud would bill.
	HeartbeatInterval = 3 * time.Second
	// heartbeatRequestTimeout limits the request of a heartbeat.
	heartbeatRequestTimeout = 2 * time.Second
	// ClaimMargin is how long before HeartbeatTimeout a call ends that has not reached
	// Temporal. It is more than startDelay.
	ClaimMargin = 2 * time.Second
	// startDelay is how long the start of an attempt may take on its way to the worker, and
	// how much the worker's clock may differ from Temporal's, without asking Temporal.
	startDelay = time.Second
	// FirstRetry is the delay before the second attempt. It doubles with each attempt, up to
	// LongestRetry.
	FirstRetry   = time.Second
	LongestRetry = time.Minute
	// maxRefusals is how many requests of one call Salesforce may refuse in a way that
	// usually passes. After that the conversation is Blocked: three days of one request a
	// minute. An org that is away or limits its calls counts no requests, so such a call
	// waits without a limit.
	maxRefusals = 3 * 24 * 60
)

// The build fails here if a claim could end after HeartbeatTimeout, or before a heartbeat
// has extended it.
const (
	_ = uint64(ClaimMargin - startDelay - 1)
	_ = uint64(HeartbeatTimeout - ClaimMargin - HeartbeatInterval - heartbeatRequestTimeout)
)

// The build fails here if the requests, the signal to the workflow and the margin do
// not fit into an attempt: 4 × 10 s + 2 s + 2 s ≤ 45 s.
const _ = uint64(AttemptTimeout - maxRequests*MaxRequestTimeout - signalTimeout - reportMargin)
