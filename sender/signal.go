package sender

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/markdown"
)

// event is a signal or update, with the input that starts the workflow where none
// runs.
type event struct {
	start   conversation.Start
	signal  string
	payload any
	// untimed: the event came without a time.
	untimed bool
}

// timed returns the time of an event, or now if it has none. The workflow would take the
// time at which a worker processes it, which may be much later.
func timed(at time.Time) (_ time.Time, untimed bool) {
	if at.IsZero() {
		return time.Now().UTC(), true
	}
	return at, false
}

// provisionalStart is the workflow input that is made from an event of another
// type than a start.
func (s *Sender) provisionalStart(id conversation.Identity, at time.Time) conversation.Start {
	return conversation.Start{Identity: id, Policy: s.options.Policy, At: at, Provisional: true}
}

func (s *Sender) closing(id conversation.Identity, c conversation.Close) (event, error) {
	c.SessionID = cmp.Or(c.SessionID, id.SessionID)
	id.SessionID = c.SessionID
	if err := joinInvalid(validate(id), c.Validate(), s.options.Policy.Validate()); err != nil {
		return event{}, fmt.Errorf("close: %w", err)
	}
	var untimed bool
	c.At, untimed = timed(c.At)
	start := s.provisionalStart(id, c.At)
	return event{start: start, signal: conversation.SignalClose, payload: c, untimed: untimed}, nil
}

// keyOnly reports whether an identity has only the two identifiers that name a
// conversation.
func keyOnly(id conversation.Identity) bool {
	return id.AuthorizationContext == "" && id.ChannelAddressIdentifier == "" && id.EndUserClientID == ""
}

func validate(id conversation.Identity) error {
	if keyOnly(id) {
		return id.ValidateKey()
	}
	return id.Validate()
}

// joinInvalid joins validation errors to one [*conversation.InvalidError] that
// lists each wrong field once.
func joinInvalid(errs ...error) error {
	var all conversation.InvalidError
	for _, err := range errs {
		invalid, ok := errors.AsType[*conversation.InvalidError](err)
		if !ok {
			continue
		}
		for _, field := range invalid.Fields {
			if !slices.Contains(all.Fields, field) {
				all.Fields = append(all.Fields, field)
			}
		}
	}
	if len(all.Fields) == 0 {
		return nil
	}
	return &all
}

// message sends a message, with its own lease if it has one.
func (s *Sender) message(
	ctx context.Context, id conversation.Identity, m conversation.Message,
) (receipt Receipt, began bool, err error) {
	var untimed bool
	m.At, untimed = timed(m.At)
	if keyOnly(id) {
		receipt, err = s.signalRunning(ctx, id, conversation.SignalMessage, m)
		return receipt, false, err
	}
	start := s.provisionalStart(id, m.At)
	return s.signal(ctx, event{start: start, signal: conversation.SignalMessage, payload: m, untimed: untimed})
}

// start begins a workflow without a signal, which costs one action less than with
// one. A workflow that runs already gets it as a signal.
func (s *Sender) start(ctx context.Context, start conversation.Start) (receipt Receipt, began bool, err error) {
	e := event{start: start, signal: conversation.SignalStart}
	e.start.At, e.untimed = timed(start.At)
	start = e.start
	e.payload = start
	options := s.startOptions(start, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
	options.WorkflowIDConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL
	_, err = s.temporal.ExecuteWorkflow(ctx, options, conversation.WorkflowType, start)
	if _, exists := lastRunID(err); exists {
		return s.signal(ctx, e)
	}
	if err != nil {
		return "", false, fmt.Errorf("start %s: %w", start.WorkflowID(), err)
	}
	return Sent, true, nil
}

// signal signals the workflow that runs, or starts one. Where the last run has
// ended, the event's time decides whether it belongs to that run. began reports
// that a new run has begun after one that ended.
func (s *Sender) signal(ctx context.Context, e event) (receipt Receipt, began bool, err error) {
	err = s.signalWithStart(ctx, e, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
	// It may be refused again if another run has begun and completed meanwhile.
	for runID, ended := lastRunID(err); ended; runID, ended = lastRunID(err) {
		var last lastRun
		if last, err = s.lastRun(ctx, e.start.WorkflowID(), runID); err != nil {
			break
		}
		if last.includes(e) {
			return AlreadyOver, false, nil
		}
		began = true
		next := e
		next.start = last.nextStart(e)
		err = s.signalWithStart(ctx, next, last.reusePolicy())
	}
	if err != nil {
		return "", false, fmt.Errorf("%s %s: %w", e.signal, e.start.WorkflowID(), err)
	}
	return Sent, began, nil
}

func (s *Sender) signalWithStart(ctx context.Context, e event, reuse enumspb.WorkflowIdReusePolicy) error {
	_, err := s.temporal.SignalWithStartWorkflow(ctx, e.start.WorkflowID(), e.signal, e.payload,
		s.startOptions(e.start, reuse), conversation.WorkflowType, e.start)
	return err
}

// startOptions are the options of a new workflow. Search attributes that are set
// here cost nothing; each later change is a billed action.
func (s *Sender) startOptions(
	start conversation.Start, reuse enumspb.WorkflowIdReusePolicy,
) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                                       start.WorkflowID(),
		TaskQueue:                                s.options.TaskQueue,
		WorkflowIDReusePolicy:                    reuse,
		WorkflowIDConflictPolicy:                 enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes: temporal.NewSearchAttributes(
			conversation.SessionPhaseKey.ValueSet(string(conversation.Active)),
			conversation.OrgIDKey.ValueSet(start.OrgID),
		),
		StaticSummary: fmt.Sprintf("Conversation %s of org %s",
			markdown.Code(start.ConversationIdentifier), markdown.Code(start.OrgID)),
		StaticDetails: fmt.Sprintf("Channel %s at address %s. %s",
			cmp.Or(markdown.Code(start.AuthorizationContext), "(not known yet)"),
			cmp.Or(markdown.Code(start.ChannelAddressIdentifier), "(not known yet)"),
			describePolicy(start.Policy.WithDefaults())),
		Priority: temporal.Priority{FairnessKey: start.OrgID},
	}
}

// describePolicy says what happens to a conversation that stays quiet.
func describePolicy(p conversation.Policy) string {
	switch {
	case *p.InactivateAfter == 0:
		return "Never made Inactive."
	case *p.EndAfter == 0:
		return fmt.Sprintf("Inactivate after %s without activity; Salesforce ends it.", p.InactivateAfter)
	default:
		return fmt.Sprintf("Inactivate after %s without activity, End %s later.", p.InactivateAfter, p.EndAfter)
	}
}

// signalRunning signals a workflow only if one runs.
func (s *Sender) signalRunning(
	ctx context.Context, id conversation.Identity, signal string, payload any,
) (Receipt, error) {
	err := s.temporal.SignalWorkflow(ctx, id.WorkflowID(), "", signal, payload)
	switch {
	case notFound(err):
		return NotTracked, nil
	case err != nil:
		return "", fmt.Errorf("%s %s: %w", signal, id.WorkflowID(), err)
	default:
		return Sent, nil
	}
}
