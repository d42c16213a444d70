package simulation

import (
	"slices"
	"time"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

// history has the history and what several rules need of it.
type history struct {
	*History
	// shortest and longest are the extremes of each duration of the policies.
	inactivateAfter, endAfter, blockedFor extremes
	// longestWindow is that of a sender. A sender that dies makes calls late by it.
	longestWindow time.Duration
}

type extremes struct{ shortest, longest time.Duration }

func newFacts(h *History) *history {
	f := &history{History: h}
	of := func(field func(conversation.Policy) *conversation.Duration) extremes {
		var all []time.Duration
		for _, p := range h.Story.Policies {
			all = append(all, time.Duration(*field(p.WithDefaults())))
		}
		return extremes{slices.Min(all), slices.Max(all)}
	}
	f.inactivateAfter = of(func(p conversation.Policy) *conversation.Duration { return p.InactivateAfter })
	f.endAfter = of(func(p conversation.Policy) *conversation.Duration { return p.EndAfter })
	f.blockedFor = of(func(p conversation.Policy) *conversation.Duration { return p.BlockedFor })
	for _, s := range h.Story.Senders {
		f.longestWindow = max(f.longestWindow, s.Window)
	}
	return f
}

// countsAt is the time that counts for a report: its own, but no later than when it
// arrived, by the clock of the sender and by Temporal's.
func (h *history) countsAt(r *Report) time.Time {
	at := r.Sent.Add(min(0, h.Story.ServerClock))
	if !r.At.IsZero() && r.At.Before(at) {
		return r.At
	}
	return at
}

// byServer is a true time by Temporal's clock, which decides when something is due.
func (h *history) byServer(at time.Time) time.Time { return at.Add(h.Story.ServerClock) }

// session finds a session by its id, nil for none.
func (h *history) session(id string) *Session {
	for _, s := range h.Sessions {
		if conversation.SameSession(s.ID, id) {
			return s
		}
	}
	return nil
}

// isAbout reports whether a report counts for a call about a session. A call without a
// session id is about any.
func isAbout(r *Report, call *CallRecord) bool {
	return call.SessionID == "" || conversation.SameSession(r.Session.ID, call.SessionID)
}

// hasBrief reports whether there is a session of which less than a moment was heard, and
// something before the next one was known. Then the clocks cannot say which session was
// first, and rules about their order do not hold.
func (h *history) hasBrief() bool {
	return slices.ContainsFunc(h.Sessions, func(s *Session) bool {
		over := s.EndedAt
		if !s.HungUp.IsZero() && (over.IsZero() || s.HungUp.Before(over)) {
			over = s.HungUp
		}
		heard := slices.ContainsFunc(h.Reports, func(r *Report) bool {
			known := r.Session == s && r.Kind != statusEntry && r.isTaken() && r.Acked.Before(over)
			return known && h.countsAt(r).Before(over.Add(-brief))
		})
		return !over.IsZero() && !heard && !h.isHeardLater(s)
	})
}

// isHeardLater reports whether a later session was known before anything of this one was
// reported. A start is believed to be of a newer session, unless its time is clearly before.
func (h *history) isHeardLater(s *Session) bool {
	return slices.ContainsFunc(h.Reports, func(next *Report) bool {
		isLater := next.Session.Began.After(s.Began) && next.Kind != statusEntry && next.isTaken()
		return isLater && !slices.ContainsFunc(h.Reports, func(r *Report) bool {
			isStart := r.Kind == Begin || r.Kind == Correct || r.Kind == Impersonate
			looksNewer := isStart && r.Happened.After(next.Session.Began.Add(-2*clockError))
			return r.Session == s && (!r.Sent.After(next.Acked) || looksNewer)
		})
	})
}

// isClear reports whether it is clear to which session every report belongs: it names it,
// or there is only one.
func (h *history) isClear() bool {
	return len(h.Sessions) == 1 || h.namesAll() && !h.hasBrief()
}

// namesAll reports whether every event names its session.
func (h *history) namesAll() bool {
	return !slices.ContainsFunc(h.Reports, func(r *Report) bool { return !r.Named })
}

// messages are the acknowledged messages that count for a call that was made at a time.
// An absorbed message is covered by a lease. A run that failed or was cancelled takes the
// lease with it, and its sender does not know that.
func (h *history) messages(call *CallRecord, until time.Time) []*Report {
	if !h.isClear() {
		return nil
	}
	leaseIsLost := h.wasForgotten(time.Time{}, call)
	var found []*Report
	for _, r := range h.Reports {
		known := r.Kind == Write && isAbout(r, call) && r.isTaken() && r.Acked.Before(until)
		isOver := r.Session.endedBy(until) || h.wasToldOver(r.Session)
		if known && !isOver && (r.Receipt == sender.Sent || !leaseIsLost) {
			found = append(found, r)
		}
	}
	return found
}

// endedBy reports whether the session was over at a time.
func (s *Session) endedBy(at time.Time) bool { return !s.EndedAt.IsZero() && !s.EndedAt.After(at) }

// isTaken reports whether a conversation has acknowledged the report.
func (r *Report) isTaken() bool {
	return !r.Acked.IsZero() && (r.Receipt == sender.Sent || r.Receipt == sender.Absorbed)
}
