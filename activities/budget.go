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
	// RetryTimeout limits all attempts of one call together
	// (ScheduleToCloseTimeout). After it, the conversation is Blocked.
	RetryTimeout = 24 * time.Hour
)

// The build fails here if the requests, the signal to the workflow and the margin do
// not fit into an attempt: 4 × 10 s + 2 s + 2 s ≤ 45 s.
const _ = uint64(AttemptTimeout - maxRequests*MaxRequestTimeout - signalTimeout - reportMargin)
