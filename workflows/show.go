package workflows

import (
	"cmp"
	"fmt"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/conversation"
)

// shown is what the search attributes say now.
type shown struct {
	phase  string
	org    string
	reason string
}

// show brings everything an operator sees in line with the state. Search
// attributes are written only when they change, because each write is billed;
// the details cost nothing.
func (k *keeper) show(ctx workflow.Context) {
	k.showAttributes(ctx)
	workflow.SetCurrentDetails(ctx, k.details())
}

func (k *keeper) showAttributes(ctx workflow.Context) {
	if k.shown == (shown{}) {
		k.shown = attributes(ctx)
	}
	now := shown{phase: string(k.state.Phase()), org: k.state.Identity.OrgID}
	if k.state.Blocked != nil {
		now.reason = k.state.Blocked.Reason
	}
	var changes []temporal.SearchAttributeUpdate
	if now.phase != k.shown.phase {
		changes = append(changes, conversation.SessionPhaseKey.ValueSet(now.phase))
	}
	if now.org != k.shown.org {
		changes = append(changes, conversation.OrgIDKey.ValueSet(now.org))
	}
	switch now.reason {
	case k.shown.reason:
	case "":
		changes = append(changes, conversation.ErrorReasonKey.ValueUnset())
	default:
		changes = append(changes, conversation.ErrorReasonKey.ValueSet(now.reason))
	}
	if len(changes) == 0 {
		return
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, changes...); err != nil {
		workflow.GetLogger(ctx).Error("Search attributes not written", "error", err)
		return
	}
	k.shown = now
}

// attributes are the ones that the start, or the run before, has set.
func attributes(ctx workflow.Context) shown {
	set := workflow.GetTypedSearchAttributes(ctx)
	var s shown
	s.phase, _ = set.GetKeyword(conversation.SessionPhaseKey)
	s.org, _ = set.GetKeyword(conversation.OrgIDKey)
	s.reason, _ = set.GetKeyword(conversation.ErrorReasonKey)
	return s
}

// details is the page an operator reads first: what state it is in, why, and
// what happens next.
func (k *keeper) details() string {
	s := k.state
	var page []string
	line := func(format string, args ...any) { page = append(page, fmt.Sprintf(format, args...)) }

	line("**%s.** %s", s.Phase(), k.why())
	line("**Next:** %s", k.next())
	line("Conversation `%s` of org %s, session `%s`", s.Identity.ConversationIdentifier, s.Identity.OrgID,
		cmp.Or(s.Identity.SessionID, "not known"))
	line("Inactivate after %s of quiet, End %s later", s.Policy.InactivateAfter, s.Policy.EndAfter)
	if !s.LastMessage.At.IsZero() {
		line("Last message: %s", rfc3339(s.LastMessage.At))
	}
	if until := s.promisedUntil(); !until.IsZero() {
		line("Messages since then: a sender keeps them to itself, and reports again by %s", rfc3339(until))
	}
	if s.SessionStatus != "" {
		line("Salesforce's last status: %s (%s)", s.SessionStatus, rfc3339(s.SessionStatusAt))
	}
	if s.Answer != nil {
		line("Salesforce's last answer: %s", describe(*s.Answer))
	}
	if s.Remark != "" {
		line("Remark: %s", s.Remark)
	}
	return strings.Join(page, "\n\n")
}

// why says why the conversation is in its phase.
func (k *keeper) why() string {
	s := k.state
	switch s.Phase() {
	case conversation.Ended:
		return ended(*s.Outcome)
	case conversation.Blocked:
		return fmt.Sprintf("An operator is needed: **%s**. %s", s.Blocked.Reason, s.Blocked.Message)
	case conversation.Inactive:
		return "Quiet since " + rfc3339(s.LastActivityAt) + ", Inactive in Salesforce since " + rfc3339(s.InactiveSince) + "."
	default:
		return "Alive: last activity " + rfc3339(s.LastActivityAt) + "."
	}
}

func ended(o conversation.Outcome) string {
	by := ""
	if o.EndedBy != "" {
		by = " by " + o.EndedBy
	}
	at := " at " + rfc3339(o.At) + "."
	switch o.Why {
	case conversation.Closed:
		return "Closed" + by + at
	case conversation.Idle:
		return "Stayed quiet and was ended" + by + at
	case conversation.EndedInSalesforce:
		return "Ended in Salesforce" + by + at
	case conversation.AlreadyOver:
		return "Salesforce had no such session any more" + at
	default:
		return string(o.Why) + by + at
	}
}

// next says what happens next, and when.
func (k *keeper) next() string {
	s := k.state
	switch {
	case s.Outcome != nil && s.Next != nil:
		return "a new life begins with what arrived after the end."
	case s.Outcome != nil:
		return "nothing."
	case k.flight != nil && k.flight.recalled:
		return fmt.Sprintf("%s was recalled; its last attempt is awaited.", k.flight.call.Operation)
	case k.flight != nil:
		return fmt.Sprintf("%s by %s is being sent; see the pending activity.", k.flight.call.Operation, k.flight.call.By)
	case s.Blocked != nil && s.blockedUntil().IsZero():
		return "waits for an operator: remove the cause, then send the signal `retry`."
	case s.Blocked != nil:
		return "an operator removes the cause and sends the signal `retry`, or the workflow fails at " + rfc3339(s.blockedUntil()) + "."
	case !s.openUntil().IsZero():
		return "Active again at " + rfc3339(s.openUntil()) + ", unless a sender says that nobody wrote."
	case s.inactive() && s.endAt().IsZero():
		return "Salesforce ends the session; a message makes it Active again."
	case s.inactive():
		return "End at " + rfc3339(s.endAt()) + ", unless a message comes."
	case s.inactivateAt().IsZero():
		return "waits for a close."
	default:
		return "Inactivate at " + rfc3339(s.inactivateAt()) + ", unless a message comes."
	}
}

// describe is an answer in one line.
func describe(a conversation.Answer) string {
	said := "success"
	if a.Reason != "" {
		said = a.Reason
	}
	if a.AlreadyOver {
		said += " (already over)"
	}
	return fmt.Sprintf("%s by %s: %s, HTTP %d, attempt %d, RequestId `%s`, %s",
		a.Operation, a.By, said, a.HTTPStatus, a.Attempt, a.RequestID, rfc3339(a.At))
}
