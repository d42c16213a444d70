package workflows

import (
	"slices"
	"time"

	"sessionkeeper/conversation"
)

// rememberedPromises bounds how many senders' promises are kept apart. Those of
// more senders count together and cannot be taken back: late, never early.
const rememberedPromises = 32

// grace is for how long after the end of a promise its sender may still be heard:
// clocks differ, and a report may have to be repeated twice.
const grace = 30 * time.Second

// promise is what a sender has promised: to report again by Until.
type promise struct {
	Holder string    `json:"holder,omitempty"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until"`
}

// promised takes the promise of a report that belongs to a life. It counts in the
// next one, too: the sender may keep messages of either. So does that of a report
// on an earlier session: the sender was told that it arrived, and relies on it.
func (s *State) promised(life *State, p conversation.Lease, at time.Time) {
	for _, each := range []*State{s, life, s.Next} {
		if each != nil {
			each.promise(p, at)
			each.forgetPromises()
		}
	}
}

// promise takes a sender's promise, or takes it back. One that is older than the
// sender's last has arrived late and says nothing. Of one that is taken back
// nothing is left: the sender may go on with an older event.
func (s *State) promise(p conversation.Lease, at time.Time) {
	if p.Holder == "" {
		return
	}
	made := promise{Holder: p.Holder, At: at, Until: at.Add(time.Duration(p.Duration))}
	i := slices.IndexFunc(s.Promises, func(known promise) bool { return known.Holder == p.Holder })
	switch {
	case i >= 0 && at.Before(s.Promises[i].At):
	case p.Duration == 0 && i < 0:
	case p.Duration == 0:
		s.Promises = slices.Delete(s.Promises, i, i+1)
	case i >= 0:
		s.Promises[i] = made
	case len(s.Promises) < rememberedPromises:
		s.Promises = append(s.Promises, made)
	default:
		s.Promises[0] = promise{Until: latest(s.Promises[0].Until, made.Until)}
	}
}

// horizon is until when the conversation counts as alive: its last activity, or
// the last promise that stands.
func (s *State) horizon() time.Time {
	horizon := s.LastActivityAt
	for _, p := range s.Promises {
		horizon = latest(horizon, p.Until)
	}
	return horizon
}

// forgetPromises leaves out the promises that say nothing more.
func (s *State) forgetPromises() {
	s.Promises = slices.DeleteFunc(s.Promises, func(p promise) bool { return !p.Until.After(s.LastActivityAt) })
}

// lapse takes a promise that has run out while the conversation was Inactive. A
// sender that lives and reaches us would have taken it back: what this one kept to
// itself may be a message, so the conversation counts as Active until then.
func (s *State) lapse(now time.Time) {
	until := s.openUntil()
	if until.IsZero() || now.Before(until) {
		return
	}
	end := s.promisedUntil()
	s.alive(end, now)
	if *s.Policy.InactivateAfter == 0 {
		s.InactiveSince = end // nobody would make it Inactive again
	}
	s.forgetPromises()
}

// openUntil is until when it is not known whether somebody has written in an
// Inactive conversation, zero when it is.
func (s *State) openUntil() time.Time {
	until := s.promisedUntil()
	if !s.inactive() || s.Outcome != nil || s.Closing != nil || s.Blocked != nil || !until.After(s.InactiveSince) {
		return time.Time{}
	}
	return until.Add(grace)
}

// promisedUntil is when the last promise that stands ends, zero when none does.
func (s *State) promisedUntil() time.Time {
	if horizon := s.horizon(); horizon.After(s.LastActivityAt) {
		return horizon
	}
	return time.Time{}
}
