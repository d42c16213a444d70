package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/gate"
	"sessionkeeper/sender"
)

// Coverage counts what the conversations of a simulation had, so that nothing is missing
// by accident.
type Coverage struct {
	Conversations int
	counts        map[string]map[string]int
}

// Add counts a conversation.
func (c *Coverage) Add(h *History) {
	if c.counts == nil {
		c.counts = map[string]map[string]int{}
	}
	c.Conversations++
	for kind, names := range h.Counts {
		if c.counts[kind] == nil {
			c.counts[kind] = map[string]int{}
		}
		for name, n := range names {
			c.counts[kind][name] += n
		}
	}
}

// Missing names what no conversation had.
func (c Coverage) Missing() []string {
	var missing []string
	want := func(kind string, names ...string) {
		for _, name := range names {
			if c.counts[kind][name] == 0 {
				missing = append(missing, kind+" "+name)
			}
		}
	}
	for _, k := range []StepKind{
		Begin, Write, HangUp, Correct, Impersonate, RepEnds, RepInactive, Kill, Restart, Retry, Cancel, Suggest,
	} {
		want("step", string(k))
	}
	for _, k := range []FaultKind{
		TemporalDown, AnswersLost, Slow, WorkerDown, WorkerCutOff, SalesforceFails, OrgPaused, OrgBusy,
	} {
		want("fault", string(k))
	}
	want("fault", killedInACall, cutOffInACall)
	for _, s := range []gate.State{gate.Paused, gate.Unreachable, gate.RateLimited, gate.Busy} {
		want("wait", string(s))
	}
	for _, a := range Answers {
		want("answer", string(conversation.Inactivate)+" "+a.Name, string(conversation.End)+" "+a.Name)
	}
	for _, p := range []conversation.Phase{
		conversation.Active, conversation.Inactive, conversation.Blocked, conversation.Ended,
	} {
		want("phase", string(p))
	}
	for _, r := range []sender.Receipt{sender.Sent, sender.Absorbed, sender.AlreadyOver, sender.NotTracked} {
		want("receipt", string(r))
	}
	for _, w := range []conversation.Why{
		conversation.Closed, conversation.Idle, conversation.EndedInSalesforce, conversation.AlreadyOver,
	} {
		want("outcome", string(w))
	}
	want("run", "failed", "canceled", "continued as new")
	want("sessions", "another one")
	return missing
}

// String is a table of the counts.
func (c Coverage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d conversations\n", c.Conversations)
	for _, kind := range slices.Sorted(maps.Keys(c.counts)) {
		for _, name := range slices.Sorted(maps.Keys(c.counts[kind])) {
			fmt.Fprintf(&b, "%-10s %-60s %10d\n", kind, name, c.counts[kind][name])
		}
	}
	return b.String()
}
