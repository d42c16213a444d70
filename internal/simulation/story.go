package simulation

import (
	"fmt"
	"strings"
	"time"

	"sessionkeeper/conversation"
)

// Story is everything that happens to one conversation from outside. Times count from
// its beginning.
type Story struct {
	Seed uint64
	// Policies are the versions of the policy. A sender uses one of them.
	Policies []conversation.Policy
	Senders  []SenderPlan
	// ServerClock is how far Temporal's clock is ahead of the senders' clocks.
	ServerClock time.Duration
	// Statuses says how the routing system passes on Salesforce's status entries.
	Statuses StatusDelivery
	// Calm: calls and workflow tasks take no time, and a worker always runs. Such a story
	// can be played through the real workflow in the SDK's test environment.
	Calm   bool
	Steps  []Step
	Faults []Fault
}

// SenderPlan is a process that reports events.
type SenderPlan struct {
	// Window is how long it collects messages, 0 for not at all.
	Window time.Duration
	// Policy is the version of the policy that it knows.
	Policy int
	// Repeats: the routing system repeats an event until it is acknowledged, as one that
	// posts to the HTTP receiver does. Otherwise it reports each event once.
	Repeats bool
}

// StatusDelivery says how status entries of Salesforce arrive.
type StatusDelivery string

// The ways of delivery.
const (
	NoStatuses       StatusDelivery = "not passed on"
	PromptStatuses   StatusDelivery = "prompt"
	LateStatuses     StatusDelivery = "late"
	ReplayedStatuses StatusDelivery = "replayed"
)

// StepKind is what happens in a step.
type StepKind string

// The kinds of steps.
const (
	// Begin begins a session in Salesforce. The routing system reports a start.
	Begin StepKind = "begin session"
	// Write is a message in a session.
	Write StepKind = "message"
	// HangUp closes a session.
	HangUp StepKind = "close"
	// Correct is another start of the same session, perhaps with another policy.
	Correct StepKind = "start again"
	// Impersonate is a start of the same session that names another end user.
	Impersonate StepKind = "start for another end user"
	// RepEnds ends a session in Salesforce.
	RepEnds StepKind = "rep ends the session"
	// RepInactive makes a session Inactive in Salesforce.
	RepInactive StepKind = "rep makes the session Inactive"
	// Kill kills a sender, Restart stops it gracefully. Both begin it again.
	Kill    StepKind = "kill the sender"
	Restart StepKind = "restart the sender"
	// Retry, Cancel and BeginAgain are an operator's.
	Retry      StepKind = "operator retries"
	Cancel     StepKind = "operator cancels"
	BeginAgain StepKind = "operator begins again"
	// Suggest makes Temporal suggest to continue as new.
	Suggest StepKind = "continue-as-new suggested"
)

// Step is one thing that happens.
type Step struct {
	At     time.Duration
	Kind   StepKind
	Sender int
	// Session is the number of the session that it is about, from 0.
	Session int
	// Named: the event names its session.
	Named bool
	// Untimed: the event has no time.
	Untimed bool
	// Skew is the error of the clock that writes the event's time.
	Skew time.Duration
	// Delay is how much later the event is reported.
	Delay time.Duration
	// Again is after how long it is reported a second time, 0 for never.
	Again time.Duration
	By    conversation.By
	// Wait: the close is an update, which waits for the outcome.
	Wait bool
}

// FaultKind is a kind of fault.
type FaultKind string

// The kinds of faults.
const (
	// TemporalDown: no request reaches Temporal.
	TemporalDown FaultKind = "Temporal is down"
	// AnswersLost: requests reach Temporal, and their answers are lost.
	AnswersLost FaultKind = "answers of Temporal are lost"
	// Slow: requests take up to 15 seconds, so they overtake each other.
	Slow FaultKind = "requests are slow"
	// WorkerDown: no worker runs. A call in flight is not reported.
	WorkerDown FaultKind = "no worker"
	// WorkerCutOff: the worker of a call in flight cannot reach Temporal. Another one does
	// what comes next.
	WorkerCutOff FaultKind = "worker cut off"
	// SalesforceFails: Salesforce answers with Fault.Answer.
	SalesforceFails FaultKind = "Salesforce fails"
	// OrgPaused: the org is paused in the worker's settings.
	OrgPaused FaultKind = "org paused"
	// OrgBusy: as many calls of the org are in flight as may be.
	OrgBusy FaultKind = "org busy"
)

// Fault lasts from From to To.
type Fault struct {
	Kind     FaultKind
	From, To time.Duration
	// Answer is the index of an [Answers] entry.
	Answer int
}

func (f Fault) at(since time.Duration) bool { return f.From <= since && since < f.To }

// String tells the story, one line for each thing that happens.
func (s Story) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("seed %d, Temporal's clock %+v, statuses %s, calm %v", s.Seed, s.ServerClock, s.Statuses, s.Calm)
	for i, p := range s.Policies {
		p = p.WithDefaults()
		line("policy %d: inactivateAfter %s, endAfter %s, blockedFor %s, endOnCancel %v",
			i, p.InactivateAfter, p.EndAfter, p.BlockedFor, p.EndOnCancel)
	}
	for i, p := range s.Senders {
		line("sender %d: window %s, policy %d, repeats %v", i, p.Window, p.Policy, p.Repeats)
	}
	for _, f := range s.Faults {
		line("%12s to %s: %s", f.From, f.To, f)
	}
	for _, step := range s.Steps {
		line("%12s %s", step.At, step)
	}
	return b.String()
}

// String says what is wrong.
func (f Fault) String() string {
	if f.Kind == SalesforceFails {
		return fmt.Sprintf("%s: %s", f.Kind, Answers[f.Answer].Name)
	}
	return string(f.Kind)
}

// String says what happens.
func (s Step) String() string {
	text := string(s.Kind)
	switch s.Kind {
	case Kill, Restart:
		return fmt.Sprintf("%s %d", text, s.Sender)
	case Retry, Cancel, BeginAgain, Suggest:
		return text
	case RepEnds, RepInactive:
		return fmt.Sprintf("%s %d", text, s.Session)
	}
	text += fmt.Sprintf(" of session %d by sender %d", s.Session, s.Sender)
	add := func(wanted bool, format string, args ...any) {
		if wanted {
			text += fmt.Sprintf(format, args...)
		}
	}
	add(!s.Named, ", unnamed")
	add(s.Untimed, ", without a time")
	add(s.Skew != 0, ", clock %+v", s.Skew)
	add(s.Delay != 0, ", reported %s later", s.Delay)
	add(s.Again != 0, ", again after %s", s.Again)
	add(s.Kind == HangUp, ", by %s", s.By)
	add(s.Wait, ", waits")
	return text
}
