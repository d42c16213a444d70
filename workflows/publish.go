package workflows

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/markdown"
)

// searchAttributes are the values of the workflow's search attributes.
type searchAttributes struct {
	phase  string
	org    string
	reason string
}

// publish updates what operators see: the search attributes and the details in
// the Web UI.
func (r *runner) publish(ctx workflow.Context) {
	r.publishSearchAttributes(ctx)
	workflow.SetCurrentDetails(ctx, r.details())
}

// publishSearchAttributes writes only the search attributes that have changed,
// because each write is billed as an action.
func (r *runner) publishSearchAttributes(ctx workflow.Context) {
	before := readSearchAttributes(ctx)
	now := searchAttributes{phase: string(r.state.Phase()), org: r.state.Identity.OrgID}
	switch s := r.state; {
	case s.Blocked != nil:
		now.reason = s.Blocked.Reason
	case s.Failing != nil && r.pendingCall != nil && !r.pendingCall.cancelRequested:
		now.reason = s.Failing.Answer.Reason
	}
	var changes []temporal.SearchAttributeUpdate
	if now.phase != before.phase {
		changes = append(changes, conversation.SessionPhaseKey.ValueSet(now.phase))
	}
	if now.org != before.org {
		changes = append(changes, conversation.OrgIDKey.ValueSet(now.org))
	}
	switch now.reason {
	case before.reason:
	case "":
		changes = append(changes, conversation.ErrorReasonKey.ValueUnset())
	default:
		changes = append(changes, conversation.ErrorReasonKey.ValueSet(now.reason))
	}
	if len(changes) == 0 {
		return
	}
	if err := workflow.UpsertTypedSearchAttributes(ctx, changes...); err != nil {
		workflow.GetLogger(ctx).Error("Cannot write search attributes", "error", err)
	}
}

// readSearchAttributes reads what the start, the previous run or this run has set.
func readSearchAttributes(ctx workflow.Context) searchAttributes {
	set := workflow.GetTypedSearchAttributes(ctx)
	var s searchAttributes
	s.phase, _ = set.GetKeyword(conversation.SessionPhaseKey)
	s.org, _ = set.GetKeyword(conversation.OrgIDKey)
	s.reason, _ = set.GetKeyword(conversation.ErrorReasonKey)
	return s
}

// details is the text in the Web UI: the phase, the reason for it, and what
// happens next. It is kept in memory, so it does not repeat the workflow id.
func (r *runner) details() string {
	s := r.state
	var lines []string
	line := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }

	line("**%s.** %s", s.Phase(), r.phaseReason())
	line("**Next:** %s", r.nextAction())
	line("Session: %s", cmp.Or(markdown.Code(s.Identity.SessionID), "not known"))
	line("Policy: Inactivate after %s without activity, End %s later", s.Policy.InactivateAfter, s.Policy.EndAfter)
	if !s.LastMessage.At.IsZero() {
		line("Last reported message: %s", rfc3339(s.LastMessage.At))
	}
	if until := s.leaseUntil(); !until.IsZero() {
		line("A sender holds a lease: it collects messages and reports again by %s", rfc3339(until))
	}
	if s.SessionStatus != "" {
		line("Last status from Salesforce: %s (%s)", markdown.Code(s.SessionStatus), rfc3339(s.SessionStatusAt))
	}
	if s.LastAnswer != nil {
		line("Last answer from Salesforce: %s", formatAnswer(*s.LastAnswer))
	}
	if !s.AliveAfterEnd.IsZero() {
		line("**Look at it:** Salesforce reported a session as alive that has ended (%s)", rfc3339(s.AliveAfterEnd))
	}
	if refused := s.RefusedIdentity; refused != nil {
		line("**Look at it:** a start named another %s (%s), which did not change. Only a start of a newer session "+
			"changes it, or a start while the conversation is Blocked.", strings.Join(refused.Fields, ", "), rfc3339(refused.At))
	}
	if s.Unreadable != "" {
		line("Last unreadable payload: %s", s.Unreadable)
	}
	return strings.Join(lines, "\n\n")
}

// phaseReason says why the conversation is in its phase.
func (r *runner) phaseReason() string {
	s := r.state
	switch phase := s.Phase(); {
	case phase == conversation.Ended:
		return formatOutcome(*s.Outcome)
	case phase == conversation.Blocked:
		return fmt.Sprintf("An operator is needed: %s. %s", markdown.Code(s.Blocked.Reason), markdown.Code(s.Blocked.Message))
	case s.Closing != nil:
		return fmt.Sprintf("Closing since %s, by %s.", rfc3339(s.Closing.At), s.Closing.By)
	case phase == conversation.Inactive:
		return fmt.Sprintf("No activity since %s, Inactive in Salesforce since %s.",
			rfc3339(s.LastActivityAt), rfc3339(s.InactiveSince))
	default:
		return "Last activity: " + rfc3339(s.LastActivityAt) + "."
	}
}

func formatOutcome(o conversation.Outcome) string {
	by := ""
	if o.EndedBy != "" {
		by = " by " + markdown.Code(o.EndedBy)
	}
	at := " at " + rfc3339(o.At) + "."
	switch o.Why {
	case conversation.Closed:
		return "Closed" + by + at
	case conversation.Idle:
		return "Ended after it was idle" + by + at
	case conversation.EndedInSalesforce:
		return "Ended in Salesforce" + by + at
	case conversation.AlreadyOver:
		return "Salesforce had ended the session before" + at
	default:
		return string(o.Why) + by + at
	}
}

// nextAction says what happens next, and when.
func (r *runner) nextAction() string {
	s := r.state
	switch {
	case s.Outcome != nil && s.Next != nil:
		return "a new run continues with the events after the end."
	case s.Outcome != nil:
		return "nothing."
	case r.pendingCall != nil && r.pendingCall.cancelRequested:
		return fmt.Sprintf("%s was cancelled; waits for its last attempt.", r.pendingCall.call.Operation)
	case r.pendingCall != nil && s.Failing != nil:
		return fmt.Sprintf("%s keeps failing since %s: %s. It is tried again; see the pending activity.",
			s.Failing.Answer.Operation, rfc3339(s.Failing.Since), formatAnswer(s.Failing.Answer))
	case r.pendingCall != nil:
		c := r.pendingCall.call
		return fmt.Sprintf("%s by %s is in flight; see the pending activity.", c.Operation, c.By)
	case s.Blocked != nil && s.blockedUntil().IsZero():
		return "waits for an operator: remove the cause, then send the signal `retry`."
	case s.Blocked != nil:
		return fmt.Sprintf("waits for an operator: remove the cause, then send the signal `retry`. "+
			"Otherwise the workflow fails at %s.", rfc3339(s.blockedUntil()))
	case !s.leaseGraceUntil().IsZero():
		return "Active again at " + rfc3339(s.leaseGraceUntil()) + ", unless the sender releases its lease."
	case s.inactive() && s.endAt().IsZero():
		return "Salesforce ends the session; a message makes it Active again."
	case s.inactive():
		return "End at " + rfc3339(s.endAt()) + ", unless a message arrives."
	case s.inactivateAt().IsZero():
		return "waits for a close."
	default:
		return "Inactivate at " + rfc3339(s.inactivateAt()) + ", unless a message arrives."
	}
}

// formatAnswer writes an answer in one line.
func formatAnswer(a conversation.Answer) string {
	result := cmp.Or(markdown.Code(a.Reason), "success")
	if a.AlreadyOver {
		result += " (the session had ended before)"
	}
	return fmt.Sprintf("%s by %s: %s, HTTP %d, attempt %d, RequestId %s, %s",
		a.Operation, a.By, result, a.HTTPStatus, a.Attempt, markdown.Code(a.RequestID), rfc3339(a.At))
}

// status is the result of the query.
func (r *runner) status() conversation.Status {
	s := r.state
	status := conversation.Status{
		Phase:                  s.Phase(),
		OrgID:                  s.Identity.OrgID,
		ConversationIdentifier: s.Identity.ConversationIdentifier,
		SessionID:              s.Identity.SessionID,
		SessionStatus:          s.SessionStatus,
		StartedAt:              s.SessionSince,
		LastMessageAt:          s.LastMessage.At,
		Closing:                s.Closing,
		Failing:                s.Failing,
		Blocked:                s.Blocked,
		BlockedUntil:           s.blockedUntil(),
		LastAnswer:             s.LastAnswer,
		Policy:                 s.Policy,
		Outcome:                s.Outcome,
	}
	if s.Outcome != nil {
		status.Closing = nil
	}
	if s.Closing == nil && r.pendingCall == nil && s.Blocked == nil && s.Outcome == nil {
		status.InactivateAt, status.EndAt = s.inactivateAt(), s.endAt()
		status.LeaseUntil = s.leaseUntil()
	}
	if r.pendingCall != nil {
		status.Calling = r.pendingCall.call.Operation
	}
	return status
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }
