package outages_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/sandbox/simulator"
	"sessionkeeper/sender"
)

// A rule returns what breaks it in one conversation. The rules are those of
// internal/simulation/model.go, as far as they can be seen from outside.
var rules = []struct {
	name  string
	check func(*talk, *record) []string
}{
	{"No session is made Inactive before its idle time is over.", neverEarly},
	{"No session is ended without a close or a long time as Inactive.", endHasAReason},
	{"No call is made for a session that is known to be over.", noCallAfterTheEnd},
	{"At most one call is in flight.", oneCallAtATime},
	{"Nothing that was acknowledged is lost.", nothingIsLost},
	{"Every conversation comes to rest.", comesToRest},
}

// activity returns the newest activity of a session of which the conversation had
// acknowledged before a time, zero without one.
func (k *talk) activity(session string, before time.Time) (latest time.Time) {
	for _, e := range k.reports {
		if e.isActivity() && e.Session == session && e.wasAcked(before) && e.At.After(latest) {
			latest = e.At
		}
	}
	return latest
}

func neverEarly(k *talk, r *record) (found []string) {
	for _, c := range r.calls {
		if c.Operation != string(conversation.Inactivate) {
			continue
		}
		earliest := k.activity(c.Session, c.Decided).Add(time.Duration(*k.policy.InactivateAfter))
		if c.Decided.Before(earliest) {
			found = append(found, fmt.Sprintf("Inactivate of %s %s too early", c.Session, earliest.Sub(c.Decided)))
		}
	}
	return found
}

func endHasAReason(k *talk, r *record) (found []string) {
	for i, c := range r.calls {
		if c.Operation != string(conversation.End) {
			continue
		}
		closed := slices.ContainsFunc(k.reports, func(e *report) bool {
			return e.Kind == cloudevent.TypeClosed && e.Session == c.Session && e.By == c.By && e.At.Before(c.Decided)
		})
		idle := c.By == conversation.System && slices.ContainsFunc(r.calls[:i], func(before *call) bool {
			return before.Operation == string(conversation.Inactivate) && before.Session == c.Session && before.Succeeded &&
				!c.Decided.Before(before.Decided.Add(time.Duration(*k.policy.EndAfter))) &&
				!k.isActiveSince(r, before.Closed, c)
		})
		if !closed && !idle {
			found = append(found, fmt.Sprintf("End of %s by %s", c.Session, c.By))
		}
	}
	return found
}

// isActiveSince reports whether a conversation had acknowledged activity of a session,
// later than a time, before it decided to call. A message that was lost with the receiver
// counts only for endAfter: after that, only its lease counts.
func (k *talk) isActiveSince(r *record, since time.Time, c *call) bool {
	return slices.ContainsFunc(k.reports, func(e *report) bool {
		isForgotten := r.whereIs(e) == inLease && !c.Decided.Before(e.At.Add(time.Duration(*k.policy.EndAfter)))
		return e.isActivity() && e.Session == c.Session && e.wasAcked(c.Decided) && e.At.After(since) && !isForgotten
	})
}

func (e *report) isActivity() bool {
	return e.Kind == cloudevent.TypeStarted || e.Kind == cloudevent.TypeMessage
}

func (e *report) wasAcked(before time.Time) bool { return !e.Acked.IsZero() && e.Acked.Before(before) }

func noCallAfterTheEnd(k *talk, r *record) (found []string) {
	for i, c := range r.calls {
		ended := slices.ContainsFunc(r.calls[:i], func(before *call) bool {
			return before.Operation == string(conversation.End) && before.Session == c.Session && before.Succeeded
		})
		reported := slices.ContainsFunc(r.events, func(e recorded) bool {
			return e.Status == conversation.StatusEnded && e.Session == c.Session && e.Recorded.Before(c.Decided)
		})
		replaced := slices.ContainsFunc(r.events, func(e recorded) bool {
			return e.Signal == conversation.SignalStart && k.isLater(e.Session, c.Session) && e.Recorded.Before(c.Decided)
		})
		if ended || reported || replaced {
			found = append(found, fmt.Sprintf("%s of %s: ended %v, reported %v, replaced %v",
				c.Operation, c.Session, ended, reported, replaced))
		}
	}
	return found
}

// isLater reports whether one session began after another one.
func (k *talk) isLater(session, other string) bool {
	return slices.Index(k.sessions, session) > slices.Index(k.sessions, other)
}

func oneCallAtATime(_ *talk, r *record) (found []string) {
	for i, c := range r.calls {
		if i > 0 && (r.calls[i-1].Closed.IsZero() || r.calls[i-1].Closed.After(c.Decided)) {
			found = append(found, fmt.Sprintf("%s of %s while %s is in flight", c.Operation, c.Session, r.calls[i-1].Operation))
		}
	}
	return found
}

func nothingIsLost(k *talk, r *record) (found []string) {
	for _, e := range k.reports {
		switch {
		case e.Receipt == string(sender.NotTracked):
			found = append(found, e.Kind+" of "+e.Session+" was not tracked")
		case !e.Acked.IsZero() && r.whereIs(e) == lost:
			found = append(found, fmt.Sprintf("%s of %s at %s, %s", e.Kind, e.Session, e.At.Format(clock), e.Receipt))
		}
	}
	return found
}

// What is left of an event that was acknowledged.
const (
	inHistory = "in a history"
	// inLater: a later message of the session is in a history, which says all that counts.
	inLater = "followed by a later message"
	// inLease: the receiver was killed, and a lease that was recorded before covers the event.
	inLease = "covered by a lease"
	wasOver = "of a session that was over"
	lost    = "lost"
)

var signals = map[string]string{
	cloudevent.TypeStarted: conversation.SignalStart, cloudevent.TypeMessage: conversation.SignalMessage,
	cloudevent.TypeClosed: conversation.SignalClose, cloudevent.TypeSessionStatus: conversation.SignalSessionStatus,
}

func (r *record) whereIs(e *report) string {
	where := lost
	for _, have := range r.events {
		if have.Session != e.Session || have.Signal != signals[e.Kind] {
			continue
		}
		absorbed := e.Receipt == string(sender.Absorbed)
		leasedUntil := have.At.Add(time.Duration(have.Lease.Duration))
		switch {
		case have.At.Equal(e.At):
			return inHistory
		case absorbed && have.At.After(e.At):
			where = inLater
		case absorbed && where == lost && have.Recorded.Before(e.Acked) && !leasedUntil.Before(e.At):
			where = inLease
		}
	}
	if where == lost && e.Receipt == string(sender.AlreadyOver) {
		return wasOver
	}
	return where
}

func comesToRest(k *talk, r *record) (found []string) {
	if status := r.runs[len(r.runs)-1].GetStatus(); status != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		found = append(found, "the last run is "+status.String())
	}
	for _, s := range k.salesforce.Sessions(k.id.OrgID) {
		if s.ConversationIdentifier == k.id.ConversationIdentifier && s.Status != simulator.StatusEnded {
			found = append(found, fmt.Sprintf("session %s is %s in Salesforce", s.ID, s.Status))
		}
	}
	return found
}

// story is what happened to one conversation, in the order of time.
func (k *talk) story(r *record) string {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	add := func(at time.Time, format string, args ...any) {
		if !at.IsZero() {
			lines = append(lines, line{at, fmt.Sprintf(format, args...)})
		}
	}
	for _, e := range k.reports {
		kind := strings.TrimPrefix(e.Kind, "sessionkeeper.conversation.")
		add(e.At, "%s of %s is reported", kind, e.Session)
		add(e.Acked, "%s of %s is acknowledged: %s", kind, e.At.Format(clock), e.Receipt)
	}
	for _, e := range r.events {
		add(e.Recorded, "TEMPORAL records %s %s of %s at %s, lease %s",
			e.Signal, e.Status, e.Session, e.At.Format(clock), time.Duration(e.Lease.Duration))
	}
	for _, c := range r.calls {
		add(c.Decided, "DECIDES to %s %s", c.Operation, c.Session)
		add(c.Closed, "HAS THE RESULT of %s, success %v", c.Operation, c.Succeeded)
	}
	for _, run := range r.runs {
		add(run.GetStartTime().AsTime(), "RUN %s begins", run.GetExecution().GetRunId())
		add(run.GetCloseTime().AsTime(), "RUN %s is %s", run.GetExecution().GetRunId(), run.GetStatus())
	}
	for _, e := range k.salesforce.Journal() {
		if e.ConversationIdentifier == k.id.ConversationIdentifier {
			add(e.ReceivedAt, "SALESFORCE %s %s: success %v %s", e.Operation, e.SessionID, e.Success, e.ErrorReason)
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var out strings.Builder
	fmt.Fprintf(&out, "inactivateAfter %s, endAfter %s\n",
		time.Duration(*k.policy.InactivateAfter), time.Duration(*k.policy.EndAfter))
	for _, l := range lines {
		fmt.Fprintf(&out, "%s %s\n", l.at.Format(clock), l.text)
	}
	return out.String()
}

const clock = "15:04:05.000"
