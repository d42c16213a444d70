// Package orgstatus is what a worker says of its orgs at /orgs, and "starter orgs" reads.
package orgstatus

import "sessionkeeper/internal/gate"

// List is the answer of /orgs.
type List struct {
	Orgs []Org `json:"orgs"`
	// Problems are files that cannot be used, and why.
	Problems []string `json:"problems,omitempty"`
}

// Org is one org.
type Org struct {
	OrgID string `json:"orgId"`
	gate.Status
	// Problem says why newer settings are not in use, empty if there is none.
	Problem string `json:"problem,omitempty"`
}
