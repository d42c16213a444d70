package conversation

import "time"

// Lease lets a sender collect messages instead of reporting each of them. A
// [Message] carries it. The lease lasts from the At of that message to At +
// Duration. While a lease is held, the conversation counts as alive.
//
// Before the lease ends, its holder does one of two things. If there were further
// messages, it reports the last one with a new lease: the lease is renewed. If
// there were none, it sends the same message again with a Lease that has a Holder
// and no Duration: the lease is released. Otherwise the lease
// expires.
//
// Only a message of the same holder renews or releases a lease, and only if it is
// not older than the message that acquired the lease. A sender that reports
// every message needs no lease.
type Lease struct {
	// Holder is the name of the sender that holds the lease. At most 240
	// characters. Two senders that run at the same time must have different
	// names. Required with a Duration.
	Holder string `json:"holder,omitempty"`
	// Duration is how long the lease lasts, counted from At. At most 8760h. 0
	// releases the lease of the holder. Use [Policy].InactivateAfter or less:
	// after a longer lease, Inactivate may be late even if the sender is alive.
	Duration Duration `json:"duration,omitzero"`
}

// Validate checks every field. The error is an [*InvalidError].
func (l Lease) Validate() error {
	var p problems
	if l.Holder != "" {
		p.identifier("lease.holder", l.Holder)
	}
	switch {
	case l.Duration < 0:
		p.add("lease.duration", "must not be negative")
	case time.Duration(l.Duration) > maxDuration:
		p.add("lease.duration", "must be at most %s", Duration(maxDuration))
	case l.Duration > 0 && l.Holder == "":
		p.add("lease.holder", "is missing: a lease belongs to a sender")
	}
	return p.err()
}
