package simulation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"sessionkeeper/conversation"
)

// History is everything that was seen of a story. Its times are true times, by no
// process's clock, unless a field says otherwise.
type History struct {
	Story    Story
	Began    time.Time
	Reports  []*Report
	Calls    []*CallRecord
	Sessions []*Session
	Runs     []*RunRecord
	Phases   []PhaseRecord
	Results  []ResultRecord
	Deaths   []Death
	Canceled []time.Time
	// Delivered are the signals that Temporal has recorded.
	Delivered []Delivery
	// TimersReplaced is how often a timer was replaced by an earlier one.
	TimersReplaced int
	// Final is the status at the end; nil if there was no run.
	Final *conversation.Status
	// AtRest: the conversation does nothing more without a new event.
	AtRest bool
	// Counts say how often each thing happened, by kind and name.
	Counts map[string]map[string]int
}

// RunRecord is a run of the workflow. Its tasks are what was played to it.
type RunRecord struct {
	ID     string
	Start  conversation.Start
	Began  time.Time // by Temporal's clock
	Tasks  []Task
	Closed *Closed
	At     time.Time
	// Carried is what continue-as-new passed on to it, nil for a first run.
	Carried []byte
}

// PhaseRecord is the status after a workflow task in which the phase changed.
type PhaseRecord struct {
	At     time.Time
	Run    string
	Status conversation.Status
}

// ResultRecord is the result of a call, when the workflow got it.
type ResultRecord struct {
	// Scheduled is when the workflow decided to call.
	At, Scheduled time.Time
	Call          Call
	Result
}

// Death is the end of a sender.
type Death struct {
	At     time.Time
	Sender int
	// Graceful: it could report what it had.
	Graceful bool
}

// Delivery is a signal that Temporal has recorded.
type Delivery struct {
	At      time.Time
	Name    string
	Payload any
}

func (h *History) count(kind, name string) {
	if h.Counts == nil {
		h.Counts = map[string]map[string]int{}
	}
	if h.Counts[kind] == nil {
		h.Counts[kind] = map[string]int{}
	}
	h.Counts[kind][name]++
}

func (h *History) deliver(name string, payload any) {
	h.Delivered = append(h.Delivered, Delivery{At: time.Now(), Name: name, Payload: payload})
}

func (h *History) phase(run string, status conversation.Status) {
	if n := len(h.Phases); n > 0 && h.Phases[n-1].Status.Phase == status.Phase && h.Phases[n-1].Run == run {
		return
	}
	h.count("phase", string(status.Phase))
	h.Phases = append(h.Phases, PhaseRecord{At: time.Now(), Run: run, Status: status})
}

func (h *History) finish(w *world) {
	h.Sessions, h.AtRest = w.salesforce.sessions, w.temporal.isAtRest() && w.partner.isDone()
	for _, f := range h.Story.Faults {
		h.count("fault", string(f.Kind))
	}
	for range max(0, len(h.Sessions)-1) {
		h.count("sessions", "another one")
	}
	for _, r := range h.Reports {
		if !r.Acked.IsZero() && r.Receipt != "" {
			h.count("receipt", string(r.Receipt))
		}
	}
	for _, r := range h.Runs {
		switch c := r.Closed; {
		case c == nil:
			h.count("run", "open")
		case c.Outcome != nil:
			h.count("outcome", string(c.Outcome.Why))
		case c.Next != nil:
			h.count("run", "continued as new")
		case c.Canceled != nil:
			h.count("run", "canceled")
		default:
			h.count("run", "failed")
		}
	}
	if last := w.temporal.last(); last != nil {
		h.Final = new(last.machine.Status())
	}
}

// String tells what happened, in order of time.
func (h *History) String() string {
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
	began := time.Now()
	if len(h.Sessions) > 0 {
		began = h.Sessions[0].Began
	}
	for _, s := range h.Sessions {
		add(s.Began, "SALESFORCE session %s begins", s.ID)
		add(s.EndedAt, "SALESFORCE session %s has ended, by %s", s.ID, s.EndedBy)
	}
	for _, r := range h.Reports {
		add(r.Sent, "sender %d reports %s of %s (named %v) at %s %s",
			r.Sender, r.Kind, r.Session.ID, r.Named, since(r.At, began), r.Status.Status)
		add(r.Acked, "sender %d: %s is acknowledged: %s", r.Sender, r.Kind, r.Receipt)
	}
	for i, d := range h.Delivered {
		if i > 1 && i+1 < len(h.Delivered) && d.Payload == h.Delivered[i-1].Payload && d.Payload == h.Delivered[i+1].Payload {
			continue
		}
		add(d.At, "TEMPORAL records %s %+v", d.Name, d.Payload)
	}
	for i, c := range h.Calls {
		if c.Attempt > 2 && i+1 < len(h.Calls) && h.Calls[i+1].Attempt > c.Attempt {
			continue
		}
		add(c.Began, "CALL %s by %s of %q, attempt %d (scheduled %s)",
			c.Operation, c.By, c.SessionID, c.Attempt, since(c.Scheduled, began))
		add(c.Answered, "ANSWER to %s: %s (executed %s)", c.Operation, c.Answer, since(c.Executed, began))
	}
	for _, p := range h.Phases {
		reason := ""
		if p.Status.Blocked != nil {
			reason = p.Status.Blocked.Reason
		}
		add(p.At, "PHASE %s of %s %s", p.Status.Phase, p.Run, reason)
	}
	for _, r := range h.Runs {
		switch c := r.Closed; {
		case c == nil:
		case c.Outcome != nil:
			add(r.At, "%s has ended: %s, events until %s", r.ID, c.Outcome.Why, since(c.Outcome.EndsEventsUntil, began))
		case c.Next != nil:
			add(r.At, "%s continues as new", r.ID)
		default:
			add(r.At, "%s has stopped: %v", r.ID, cmp.Or(c.Failed, c.Canceled))
		}
	}
	for _, d := range h.Deaths {
		add(d.At, "sender %d ends, gracefully %v", d.Sender, d.Graceful)
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%16s %s\n", since(l.at, began), l.text)
	}
	return b.String()
}

func since(t, began time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Sub(began).String()
}
