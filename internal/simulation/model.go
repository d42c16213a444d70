package simulation

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/gate"
	"sessionkeeper/sender"
)

// The rules of the product. Each rule looks at the history of one conversation and
// returns what violates it. A rule knows what was reported, what was acknowledged, what
// Salesforce was asked and what is true there. It knows nothing of the product's state.
//
// A report counts for a rule that forbids something only once it is acknowledged: what
// nobody has acknowledged may be lost. It counts for a rule that allows something as
// soon as it is sent: it may have arrived.
var rules = []struct {
	Name  string
	check func(*history) []string
}{
	{"No session is made Inactive before its idle time is over.", neverEarly},
	{"No session is ended without a close, a cancel or a long time as Inactive.", endHasAReason},
	{"No call is made for a session that is known to be over.", noCallAfterTheEnd},
	{"No call is made for somebody else.", noCallForSomebodyElse},
	{"At most one call is in flight.", oneCallAtATime},
	{"A close that was acknowledged ends its session, or an operator sees why not.", closesAreKept},
	{"A close that waits returns an outcome only when its session is over.", outcomesAreTrue},
	{"A conversation that is quiet does not stay Active.", quietIsNoticed},
	{"A message that was acknowledged is not lost.", messagesAreKept},
	{"No call is made while its org is paused.", noCallWhilePaused},
	{"An org that is away or paused calls no operator, and waiting is no attempt.", outagesCallNoOperator},
	{"Every conversation comes to rest, and says why.", comesToRest},
	{"What a run passes on to the next one is bounded.", carriedIsBounded},
	{"A message costs no timer.", messagesCostNoTimer},
}

// Violation is one breach of a rule.
type Violation struct{ Rule, What string }

// Check compares a history with the rules.
func Check(h *History) []Violation {
	facts := newFacts(h)
	var found []Violation
	for _, rule := range rules {
		for _, what := range rule.check(facts) {
			found = append(found, Violation{rule.Name, what})
		}
	}
	return found
}

const (
	// reaction is how long the workers may take to react to an event when nothing fails.
	reaction = 2 * time.Second
	// ambiguous is how near to the beginning of a session an event that does not name its
	// session may belong to either: two clocks may be wrong by clockError.
	ambiguous = 2*clockError + time.Second
	// brief is how long a session must last, so that its order is clear: the product allows
	// for conversation.ClockTolerance, and the clocks may be wrong besides.
	brief = conversation.ClockTolerance + 2*clockError
	// attemptTime is the longest time until the end of an attempt is known: a slow answer, and
	// the heartbeat timeout if its worker dies then.
	attemptTime = 20 * time.Second
	// leaseGrace is how long a conversation waits for a report after a lease has ended.
	leaseGrace = 30 * time.Second
	// longestBackoff is the longest pause of a sender between two attempts.
	longestBackoff = 10 * time.Second
)

// neverEarly: an Inactivate begins at the earliest inactivateAfter after every message of
// the session that was acknowledged before.
func neverEarly(h *history) (found []string) {
	for _, c := range h.Calls {
		if c.Operation != conversation.Inactivate {
			continue
		}
		if h.inactivateAfter.longest == 0 {
			found = append(found, "Inactivate although the policy switches it off")
		}
		check := func(made time.Time, messages []*Report) {
			for _, m := range messages {
				earliest := h.countsAt(m).Add(h.inactivateAfter.shortest)
				if made := h.byServer(made); made.Before(earliest) {
					found = append(found, fmt.Sprintf("Inactivate %s too early", earliest.Sub(made)))
				}
			}
		}
		check(c.Scheduled, h.messages(c, c.Scheduled))
		check(c.Began, h.messages(c, c.Began.Add(-reaction-h.workersDown())))
	}
	return found
}

// endHasAReason: an End is asked for by a close, or by a cancel under a policy that ends
// then, or the session has been Inactive for endAfter and no message was acknowledged
// since it became Inactive.
func endHasAReason(h *history) (found []string) {
	for _, c := range h.Calls {
		if c.Operation == conversation.End && !h.wasClosed(c) && !h.wasCanceled(c) && !h.wasIdle(c) {
			found = append(found, fmt.Sprintf("End by %s of %q has no reason", c.By, c.SessionID))
		}
	}
	return found
}

func (h *history) wasClosed(c *CallRecord) bool {
	return slices.ContainsFunc(h.Reports, func(r *Report) bool {
		return r.Kind == HangUp && r.By == c.By && !r.Sent.After(c.Scheduled) && (isAbout(r, c) || !r.Named)
	})
}

func (h *history) wasCanceled(c *CallRecord) bool {
	ends := func(p conversation.Policy) bool { return p.EndOnCancel }
	return slices.ContainsFunc(h.Story.Policies, ends) &&
		slices.ContainsFunc(h.Canceled, func(at time.Time) bool { return !at.After(c.Scheduled) })
}

func (h *history) wasIdle(c *CallRecord) bool {
	if c.By != conversation.System || h.endAfter.longest == 0 {
		return false
	}
	return slices.ContainsFunc(h.becameInactive(c), func(since inactive) bool {
		return !h.byServer(c.Scheduled).Before(since.at.Add(h.endAfter.shortest)) &&
			!slices.ContainsFunc(h.messages(c, c.Scheduled), func(m *Report) bool { return h.makesActive(m, since, c) })
	})
}

// makesActive reports whether a message before an End made the session Active again: it is
// later than the Inactivate was answered. Or it is later than the Inactivate was decided,
// and was delivered before its own idle time was over.
func (h *history) makesActive(m *Report, since inactive, end *CallRecord) bool {
	at := h.countsAt(m)
	delivered := h.byServer(m.Acked).Add(reaction + h.workersDown())
	inTime := m.Receipt == sender.Sent && delivered.Before(at.Add(h.inactivateAfter.shortest))
	isLost := h.wasLost(m) && !end.Scheduled.Before(m.Sent.Add(h.endAfter.shortest))
	return !isLost && (at.After(since.at) || inTime && at.After(since.decided))
}

// wasLost reports whether a message was lost with its sender, which only held a lease for
// it. Then the conversation counts as alive until the end of the lease, and no longer.
func (h *history) wasLost(m *Report) bool {
	return m.Receipt == sender.Absorbed && slices.ContainsFunc(h.Deaths, func(d Death) bool {
		return d.Sender == m.Sender && !d.Graceful && d.At.After(m.Acked)
	})
}

// inactive is when a session became Inactive, and when that was decided.
type inactive struct{ decided, at time.Time }

// becameInactive is when the session of a call became Inactive, as the conversation knows
// it: a call said so, or Salesforce reported it.
func (h *history) becameInactive(c *CallRecord) (all []inactive) {
	for _, r := range h.Results {
		if r.Call.Operation == conversation.Inactivate && r.Err == nil && r.Call.SessionID == c.SessionID {
			all = append(all, inactive{h.byServer(r.Scheduled), r.Answer.At})
		}
	}
	for _, r := range h.Reports {
		if r.Kind == statusEntry && r.Status.Status == conversation.StatusInactive && isAbout(r, c) {
			at := h.countsAt(r)
			all = append(all, inactive{at, at})
		}
	}
	return all
}

// noCallForSomebodyElse: a start for another end user changes nothing, because a start of
// the session was acknowledged before, and the conversation is never Blocked. A later run
// of the same session, which was not active, has had no start yet.
func noCallForSomebodyElse(h *history) (found []string) {
	if !h.namesAll() || h.hasBrief() {
		return nil
	}
	for _, c := range h.Calls {
		run := slices.IndexFunc(h.Runs, func(r *RunRecord) bool { return r.ID == c.Run })
		start := h.Runs[run].Start
		noStart := run > 0 && (start.Provisional || start.EndUserClientID == somebodyElse)
		if c.EndUser == somebodyElse && !noStart {
			found = append(found, fmt.Sprintf("%s of %s for somebody else", c.Operation, c.SessionID))
		}
	}
	return found
}

// noCallAfterTheEnd: no call begins for a session of which an End has succeeded, or
// which Salesforce has reported as ended, or after which another one has begun.
func noCallAfterTheEnd(h *history) (found []string) {
	for _, c := range h.Calls {
		s := h.session(c.SessionID)
		if s == nil {
			if c.SessionID != "" {
				found = append(found, "call for a session that does not exist")
			}
			continue
		}
		if !h.namesAll() || h.hasBrief() {
			continue
		}
		for _, r := range h.Results[:c.Known] {
			ended := r.Err == nil && r.Call.Operation == conversation.End && r.Call.SessionID == c.SessionID
			if ended && !h.wasForgotten(r.At, c) && !h.isOfACloseMeanwhile(c, r.At) {
				found = append(found, fmt.Sprintf("%s after an End has succeeded", c.Operation))
			}
		}
		over := h.knownOver(s, c.Began.Add(-reaction-h.workersDown()))
		if !over.IsZero() && !h.wasForgotten(time.Time{}, c) {
			found = append(found, fmt.Sprintf("%s of %s after it was known to be over", c.Operation, c.SessionID))
		}
	}
	return found
}

// wasForgotten reports whether a run without an outcome ended between a time and a call:
// what such a run knew is lost.
func (h *history) wasForgotten(since time.Time, c *CallRecord) bool {
	return slices.ContainsFunc(h.Runs, func(r *RunRecord) bool {
		if r.Closed == nil || r.At.Before(since) || !r.At.Before(c.Scheduled) {
			return false
		}
		canceled, _ := errors.AsType[*temporal.CanceledError](r.Closed.Canceled)
		return r.Closed.Failed != nil || canceled != nil && !canceled.HasDetails()
	})
}

// isOfACloseMeanwhile reports whether two closes were reported at the same time after a
// run that had given up a session which may be Inactive. Both saw that run as the last
// one, so each began one of its own: a request to Temporal cannot say after which run it
// begins another one.
func (h *history) isOfACloseMeanwhile(c *CallRecord, ended time.Time) bool {
	wasGivenUp := c.Operation == conversation.End && h.hasGivenUpActive(ended)
	return wasGivenUp && slices.ContainsFunc(h.Reports, func(r *Report) bool {
		return r.Kind == HangUp && isAbout(r, c) && r.Sent.Before(ended) && r.Acked.After(ended)
	})
}

// hasGivenUpActive reports whether a run has ended before a time because Salesforce knew no
// active conversation: its session may be Inactive.
func (h *history) hasGivenUpActive(before time.Time) bool {
	return slices.ContainsFunc(h.Runs, func(r *RunRecord) bool {
		return r.Closed != nil && r.Closed.Outcome != nil && r.Closed.Outcome.MayBeInactive() && r.At.Before(before)
	})
}

// knownOver is since when the conversation knows that a session is over, zero if it does
// not know it at a time. An event that names the session, and is later than its end or
// has no time, says that the session is alive again.
func (h *history) knownOver(s *Session, until time.Time) (over time.Time) {
	known := false
	for _, d := range h.Delivered {
		id, at, ended := aboutSession(d)
		other := h.session(id)
		switch {
		case other == nil || d.At.After(until):
		case other != s && known && !ended && other.Began.After(s.Began) && at.After(s.Began.Add(ambiguous)),
			other == s && ended && known:
			over = d.At
		case other == s:
			known = true
			if at.IsZero() || at.After(over) {
				over = time.Time{}
			}
		}
	}
	return over
}

// aboutSession is the session that a signal names, and its time.
func aboutSession(d Delivery) (id string, at time.Time, ended bool) {
	switch e := d.Payload.(type) {
	case conversation.Start:
		return e.SessionID, e.At, false
	case conversation.Message:
		return e.SessionID, e.At, false
	case conversation.Close:
		return e.SessionID, e.At, false
	case conversation.SessionStatus:
		return e.SessionID, e.At, e.Status == conversation.StatusEnded
	}
	return "", time.Time{}, false
}

// oneCallAtATime: an attempt begins when the one before it has been answered, or its
// worker has died and its time is over.
func oneCallAtATime(h *history) (found []string) {
	for i, c := range h.Calls[:max(0, len(h.Calls)-1)] {
		over := c.Answered
		if over.IsZero() {
			over = c.Began.Add(attemptTime)
		}
		if next := h.Calls[i+1]; next.Began.Before(over) {
			found = append(found, fmt.Sprintf("%s while %s is in flight", next.Operation, c.Operation))
		}
	}
	return found
}

// closesAreKept: at the end the session is over, or an operator has cancelled or sees
// the reason, or a message was written after the close and Salesforce has refused it.
func closesAreKept(h *history) (found []string) {
	for _, r := range h.Reports {
		if r.Kind != HangUp || r.Acked.IsZero() || !h.isClear() {
			continue
		}
		if r.Session.EndedAt.IsZero() && !h.wasGivenUp() && !h.wasTakenBack(r) && !h.wasToldOver(r.Session) {
			found = append(found, fmt.Sprintf("%s was closed and is not over", r.Session.ID))
		}
		first := h.firstEnd(r.Session)
		if h.wasGivenUp() {
			continue
		}
		latest := r.Acked.Add(reaction + attemptTime + h.workersDown() + h.orgDown())
		if first.After(latest) && !r.Session.endedBy(latest) {
			found = append(found, fmt.Sprintf("End of %s begins %s late", r.Session.ID, first.Sub(latest)))
		}
	}
	return found
}

// outcomesAreTrue: when a close returns an outcome, its session is over. If two sessions
// were too near for the clocks, it is at least not the outcome of an earlier session.
func outcomesAreTrue(h *history) (found []string) {
	for _, r := range h.Reports {
		if r.Outcome == nil || r.Session.endedBy(r.Acked) || h.wasGivenUp() || h.wasToldOver(r.Session) {
			continue
		}
		of := h.session(r.Outcome.SessionID)
		ofEarlier := r.Named && of != nil && of.endedBy(r.Happened.Add(-2*clockError)) &&
			of.Began.Before(r.Session.Began.Add(-brief))
		if ofEarlier || h.isClear() {
			found = append(found, fmt.Sprintf("%s is not over, and the outcome is %s of %q",
				r.Session.ID, r.Outcome.Why, r.Outcome.SessionID))
		}
	}
	return found
}

func (h *history) firstEnd(s *Session) time.Time {
	for _, c := range h.Calls {
		if c.Operation == conversation.End && (c.SessionID == "" || conversation.SameSession(c.SessionID, s.ID)) {
			return c.Began
		}
	}
	return time.Time{}
}

// wasGivenUp: an operator cancelled the workflow, or it is Blocked, or it failed because
// it was Blocked for too long.
func (h *history) wasGivenUp() bool {
	return len(h.Canceled) > 0 || h.Final != nil && h.Final.Phase == conversation.Blocked ||
		slices.ContainsFunc(h.Runs, func(r *RunRecord) bool { return r.Closed != nil && r.Closed.Failed != nil })
}

// wasTakenBack: Salesforce refused the End, and a message was written after the close.
func (h *history) wasTakenBack(closed *Report) bool {
	refused := slices.ContainsFunc(h.Results, func(r ResultRecord) bool {
		return r.Call.Operation == conversation.End && r.Err != nil && !temporal.IsCanceledError(r.Err)
	})
	return refused && slices.ContainsFunc(h.Reports, func(r *Report) bool {
		isActivity := r.Kind == Write || r.Kind == Begin || r.Kind == Correct
		return isActivity && !r.Happened.Before(closed.Happened.Add(-ambiguous))
	})
}

// wasToldOver: Salesforce answered that there is no such session, although there is. In
// the first minute of a session such an answer does not count.
func (h *history) wasToldOver(s *Session) bool {
	return slices.ContainsFunc(h.Results, func(r ResultRecord) bool {
		return r.Err == nil && r.Answer.AlreadyOver && !r.At.Before(s.Began.Add(time.Minute)) &&
			(r.Call.SessionID == "" || conversation.SameSession(r.Call.SessionID, s.ID))
	})
}

func (h *history) workersDown() (total time.Duration) {
	for _, f := range h.Story.Faults {
		if f.Kind == WorkerDown {
			total += f.To - f.From + reaction
		}
	}
	return total
}

func (h *history) temporalDown() (total time.Duration) {
	for _, f := range h.Story.Faults {
		switch f.Kind {
		case TemporalDown, AnswersLost, Slow:
			total += f.To - f.From + longestBackoff + 15*time.Second
		}
	}
	return total
}

// orgDown is how long a call may wait for its org: as long as the org is paused, busy or
// away, or limits its calls, and then until the call asks again.
func (h *history) orgDown() (total time.Duration) {
	for _, f := range h.Story.Faults {
		if f.Kind == OrgPaused || f.Kind == OrgBusy || f.Kind == SalesforceFails && concernsOrg(Answers[f.Answer]) {
			total += f.To - f.From + gate.LongestWait
		}
	}
	return total
}

// concernsOrg reports whether an answer says something of the whole org.
func concernsOrg(a Answer) bool {
	kind := activities.GateOutcome(a.make()).Kind
	return kind == gate.NoAnswer || kind == gate.Limited
}

func noCallWhilePaused(h *history) (found []string) {
	for _, c := range h.Calls {
		for _, f := range h.Story.Faults {
			if f.Kind == OrgPaused && f.at(c.Began.Sub(h.Began)) && !h.Story.Calm {
				found = append(found, fmt.Sprintf("%s while the org is paused", c.Operation))
			}
		}
	}
	return found
}

// outagesCallNoOperator: a conversation is never Blocked because its org cannot be reached,
// is paused or limits its calls. The attempts that an outcome names are not more than those
// that were made.
func outagesCallNoOperator(h *history) (found []string) {
	for _, p := range h.Phases {
		blocked := p.Status.Blocked
		if blocked == nil {
			continue
		}
		for _, a := range Answers {
			if concernsOrg(a) && blocked.Reason == activities.Decide(a.make()).Reason {
				found = append(found, "Blocked with "+blocked.Reason)
			}
		}
	}
	if h.Final != nil && h.Final.Outcome != nil && h.Final.Outcome.Attempts > len(h.Calls) {
		found = append(found, fmt.Sprintf("%d attempts are counted, %d were made", h.Final.Outcome.Attempts, len(h.Calls)))
	}
	return found
}

// quietIsNoticed: when nothing was reported for longer than inactivateAfter, a call was
// made, or the conversation is not Active any more. A sender that has died may make this
// late by one window and the grace; an outage by its length.
func quietIsNoticed(h *history) (found []string) {
	if h.inactivateAfter.shortest == 0 {
		return nil
	}
	late := reaction + 2*clockError + h.temporalDown() + h.workersDown() + h.orgDown()
	if len(h.Deaths) > 0 || h.temporalDown() > 0 {
		late += h.longestWindow + leaseGrace
	}
	var events []time.Time
	for _, r := range h.Reports {
		events = append(events, r.Sent, r.Acked)
	}
	for _, d := range h.Delivered {
		events = append(events, d.At)
	}
	for _, c := range h.Calls {
		events = append(events, c.Began, c.Answered)
	}
	events = append(events, h.Canceled...) // with endOnCancel it begins an End
	events = append(slices.DeleteFunc(events, time.Time.IsZero), time.Now())
	slices.SortFunc(events, time.Time.Compare)
	for i, from := range events[:len(events)-1] {
		to := events[i+1]
		if to.Sub(from) > h.inactivateAfter.longest+late && h.phaseAt(to) == conversation.Active && !h.calling(to) {
			found = append(found, fmt.Sprintf("still Active after %s", to.Sub(from)))
		}
	}
	return found
}

// calling reports whether a call is in flight at a time.
func (h *history) calling(at time.Time) bool {
	var last *CallRecord
	for _, c := range h.Calls {
		if c.Began.Before(at) {
			last = c
		}
	}
	return last != nil && !slices.ContainsFunc(h.Results[last.Known:], func(r ResultRecord) bool {
		return r.At.Before(at)
	})
}

// phaseAt is the phase just before a time, empty if no run was open.
func (h *history) phaseAt(at time.Time) conversation.Phase {
	var phase conversation.Phase
	for _, p := range h.Phases {
		if p.At.Before(at) {
			phase = p.Status.Phase
		}
	}
	return phase
}

// messagesAreKept: the last session, if a message of it was acknowledged, is the one that
// the conversation knows at the end. A message that was answered as already over belongs
// to a session that is over. After Salesforce has answered that there is no active
// conversation, a message that names no session may be of this session or of another one.
func messagesAreKept(h *history) (found []string) {
	mayBeAnother := !h.namesAll() && h.Final != nil && h.Final.SessionID == "" &&
		h.hasGivenUpActive(time.Now())
	for _, r := range h.Reports {
		if r.Kind != Write || !h.isClear() || r.Acked.IsZero() || h.wasGivenUp() || h.wasToldOver(r.Session) {
			continue
		}
		isCurrent := conversation.SameSession(h.Final.SessionID, r.Session.ID)
		switch {
		case r.Receipt == sender.AlreadyOver && !r.Session.endedBy(r.Acked) && !h.isKnown(r):
			found = append(found, fmt.Sprintf("message of %s is refused as already over", r.Session.ID))
		case r.isTaken() && r.Named && r.Session.EndedAt.IsZero() && !isCurrent && !mayBeAnother:
			found = append(found, fmt.Sprintf("%s is not known at the end", r.Session.ID))
		}
	}
	return found
}

// isKnown reports whether Temporal had recorded an event of the session that is not older.
func (h *history) isKnown(r *Report) bool {
	return slices.ContainsFunc(h.Delivered, func(d Delivery) bool {
		id, at, _ := aboutSession(d)
		return d.At.Before(r.Acked) && conversation.SameSession(id, r.Session.ID) && !at.Before(h.countsAt(r))
	})
}

// comesToRest: in the end nothing is under way, and the phase can stay as it is under the
// policy. A Blocked conversation and a failed one have a reason, an ended one says why.
func comesToRest(h *history) (found []string) {
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			found = append(found, fmt.Sprintf(format, args...))
		}
	}
	add(!h.AtRest, "does not come to rest")
	for _, r := range h.Runs {
		switch c := r.Closed; {
		case c == nil:
		case c.Outcome != nil:
			add(c.Outcome.Why == "" || c.Outcome.At.IsZero(), "an outcome does not say why or when")
		case c.Failed != nil:
			failed, ok := c.Failed.(*temporal.ApplicationError) //nolint:errorlint // it is not wrapped
			add(!ok || failed.Type() == "", "a failed run has no reason")
		}
	}
	if len(h.Runs) == 0 || h.Runs[len(h.Runs)-1].Closed != nil {
		return found
	}
	switch s := h.Final; s.Phase {
	case conversation.Active:
		add(h.inactivateAfter.shortest > 0, "rests as Active")
	case conversation.Inactive:
		add(h.endAfter.shortest > 0, "rests as Inactive")
	case conversation.Blocked:
		add(h.blockedFor.shortest > 0, "rests as Blocked")
		add(s.Blocked == nil || s.Blocked.Reason == "", "is Blocked without a reason")
	default:
		add(true, "rests as %s, and its run is open", s.Phase)
	}
	return found
}

// messagesCostNoTimer: while every sender runs, messages never lower the deadline of an
// Active conversation, so that no timer is replaced.
func messagesCostNoTimer(h *history) []string {
	s := h.Story
	onlyMessages := !slices.ContainsFunc(s.Steps, func(step Step) bool {
		return step.Kind != Begin && step.Kind != Write || step.Delay+step.Again > 0
	})
	quiet := len(s.Policies) == 1 && s.Statuses == NoStatuses && len(s.Faults) == 0
	if onlyMessages && quiet && h.endAfter.longest == 0 && len(h.Sessions) == 1 && h.TimersReplaced > 0 {
		return []string{fmt.Sprintf("%d timers were replaced", h.TimersReplaced)}
	}
	return nil
}

// maxCarried is the largest state in bytes that continue-as-new may pass on.
const maxCarried = 16 << 10

func carriedIsBounded(h *history) (found []string) {
	for _, r := range h.Runs {
		if len(r.Carried) > maxCarried {
			found = append(found, fmt.Sprintf("%d bytes are passed on", len(r.Carried)))
		}
	}
	return found
}
