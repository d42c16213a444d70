package simulation

import (
	"slices"
	"time"
)

// Shrink returns a shorter and simpler story that still fails. It takes out one thing
// after another, and keeps what the failure needs.
func Shrink(s Story, fails func(Story) bool) Story {
	for again := true; again; {
		again = false
		for _, simpler := range simplifications(s) {
			if candidate := clone(s); simpler(&candidate) && fails(candidate) {
				s, again = candidate, true
				break
			}
		}
	}
	return s
}

func clone(s Story) Story {
	s.Policies, s.Senders = slices.Clone(s.Policies), slices.Clone(s.Senders)
	s.Steps, s.Faults = slices.Clone(s.Steps), slices.Clone(s.Faults)
	return s
}

// simplifications are all ways to make a story simpler by one thing. Each reports
// whether it has changed the story.
func simplifications(s Story) []func(*Story) bool {
	var all []func(*Story) bool
	for i := range s.Faults {
		all = append(all, func(s *Story) bool { s.Faults = slices.Delete(s.Faults, i, i+1); return true })
	}
	for size := len(s.Steps) / 2; size > 0; size /= 2 {
		for i := 0; i+size <= len(s.Steps); i += size {
			all = append(all, func(s *Story) bool { s.Steps = slices.Delete(s.Steps, i, i+size); return true })
		}
	}
	all = append(all,
		func(s *Story) bool { return change(&s.ServerClock, 0) },
		func(s *Story) bool { return change(&s.Statuses, NoStatuses) },
		func(s *Story) bool {
			shorter := len(s.Policies) > 1
			s.Policies = s.Policies[:1]
			for i := range s.Senders {
				s.Senders[i].Policy = 0
			}
			return shorter
		})
	for i := range s.Senders {
		all = append(all,
			func(s *Story) bool { return change(&s.Senders[i].Window, 0) },
			func(s *Story) bool { return change(&s.Senders[i].Repeats, true) })
	}
	for i := range s.Steps {
		all = append(all,
			func(s *Story) bool { return change(&s.Steps[i].Sender, 0) },
			func(s *Story) bool { return change(&s.Steps[i].Named, true) },
			func(s *Story) bool { return change(&s.Steps[i].Untimed, false) },
			func(s *Story) bool { return change(&s.Steps[i].Wait, false) },
			func(s *Story) bool { return change(&s.Steps[i].Skew, 0) },
			func(s *Story) bool { return change(&s.Steps[i].Delay, 0) },
			func(s *Story) bool { return change(&s.Steps[i].Again, 0) },
			func(s *Story) bool { return change(&s.Steps[i].At, s.Steps[i].At.Round(time.Second)) })
	}
	return all
}

func change[T comparable](field *T, value T) bool {
	changed := *field != value
	*field = value
	return changed
}
