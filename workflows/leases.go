package workflows

import (
	"slices"
	"time"

	"sessionkeeper/conversation"
)

// maxLeases limits how many leases are kept separately. Above it, leases share
// one entry that cannot be released: an Inactivate may be late, never early.
const maxLeases = 32

// leaseGrace is how long an Inactive conversation waits for the holder's report
// after its lease has ended: clocks differ, and a report may have to be repeated twice.
const leaseGrace = 30 * time.Second

// lease is a lease that a sender holds until the time Until.
type lease struct {
	Holder string    `json:"holder,omitempty"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until"`
}

// applyLease applies the lease of a message to the state of this session and of
// every next one: the holder may have collected messages of each. The lease of a
// message of an ended session counts too, because its sender gets an
// acknowledgement and relies on the lease.
func (s *State) applyLease(l conversation.Lease, at time.Time) {
	for each := s; each != nil; each = each.Next {
		each.setLease(l, at)
		each.dropStaleLeases()
	}
}

// setLease acquires, renews or releases a lease. A report that is older than the
// one that acquired the lease has arrived late and is ignored. A released lease
// is deleted, so that the same holder may acquire one with an older event time.
func (s *State) setLease(l conversation.Lease, at time.Time) {
	if l.Holder == "" {
		return
	}
	acquired := lease{Holder: l.Holder, At: at, Until: at.Add(time.Duration(l.Duration))}
	i := slices.IndexFunc(s.Leases, func(held lease) bool { return held.Holder == l.Holder })
	switch {
	case i >= 0 && at.Before(s.Leases[i].At):
	case l.Duration == 0 && i < 0:
	case l.Duration == 0:
		s.Leases = slices.Delete(s.Leases, i, i+1)
	case i >= 0:
		s.Leases[i] = acquired
	case len(s.Leases) < maxLeases:
		s.Leases = append(s.Leases, acquired)
	default:
		s.Leases[0] = lease{Until: latest(s.Leases[0].Until, acquired.Until)}
	}
}

// aliveUntil is until when the conversation counts as alive: the last activity,
// or the end of the last lease if that is later.
func (s *State) aliveUntil() time.Time {
	until := s.LastActivityAt
	for _, l := range s.Leases {
		until = latest(until, l.Until)
	}
	return until
}

// dropStaleLeases removes the leases that have no effect any more.
func (s *State) dropStaleLeases() {
	s.Leases = slices.DeleteFunc(s.Leases, func(l lease) bool { return !l.Until.After(s.LastActivityAt) })
}

// expireLeases makes an Inactive conversation Active if a lease has expired. A
// sender that is alive would have renewed or released it. So the sender has died,
// and there may be a message that it collected and never reported.
func (s *State) expireLeases(now time.Time) {
	if !reached(s.leaseGraceUntil(), now) {
		return
	}
	end := s.leaseUntil()
	if *s.Policy.InactivateAfter == 0 {
		// No timer would make it Inactive again, so only the End waits.
		s.InactiveSince, s.InactivatedAt, s.Leases = end, time.Time{}, nil
		return
	}
	s.markActive(end, now)
	s.dropStaleLeases()
}

// leaseGraceUntil is until when an Inactive conversation waits for the report of
// a lease's holder, zero if it does not wait.
func (s *State) leaseGraceUntil() time.Time {
	until := s.leaseUntil()
	if !s.inactive() || s.Outcome != nil || s.Closing != nil || s.Blocked != nil || !until.After(s.inactivatedAt()) {
		return time.Time{}
	}
	return until.Add(leaseGrace)
}

// leaseUntil is when the last lease that is held ends, zero if none is held.
func (s *State) leaseUntil() time.Time {
	if until := s.aliveUntil(); until.After(s.LastActivityAt) {
		return until
	}
	return time.Time{}
}
