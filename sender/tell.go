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
)

// event is one thing to tell, with what starts the conversation if it is the
// first that is heard of it.
type event struct {
	start   conversation.Start
	signal  string
	payload any
	// endOf is the session whose end this is, where the event names it.
	endOf string
}

// begin is what a conversation begins with when no start was heard of.
func (s *Sender) begin(id conversation.Identity, at time.Time) conversation.Start {
	return conversation.Start{Identity: id, Policy: s.options.Policy, At: at, Provisional: true}
}

func (s *Sender) closing(id conversation.Identity, c conversation.Close) (event, error) {
	c.SessionID = cmp.Or(c.SessionID, id.SessionID)
	id.SessionID = c.SessionID
	if err := problems(validate(id), c.Validate(), s.options.Policy.Validate()); err != nil {
		return event{}, fmt.Errorf("close: %w", err)
	}
	return event{start: s.begin(id, c.At), signal: conversation.SignalClose, payload: c, endOf: c.SessionID}, nil
}

// keyOnly reports whether an identity only names a conversation.
func keyOnly(id conversation.Identity) bool {
	return id.AuthorizationContext == "" && id.ChannelAddressIdentifier == "" && id.EndUserClientID == ""
}

func validate(id conversation.Identity) error {
	if keyOnly(id) {
		return id.ValidateKey()
	}
	return id.Validate()
}

// problems lists everything that is wrong, each once, as one
// [*conversation.InvalidError].
func problems(errs ...error) error {
	var all conversation.InvalidError
	for _, err := range errs {
		var invalid *conversation.InvalidError
		if !errors.As(err, &invalid) {
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

// message tells a conversation of a message, as it is.
func (s *Sender) message(ctx context.Context, id conversation.Identity, m conversation.Message) (Receipt, error) {
	if keyOnly(id) {
		return s.tellRunning(ctx, id, conversation.SignalMessage, m)
	}
	return s.tell(ctx, event{start: s.begin(id, m.At), signal: conversation.SignalMessage, payload: m})
}

// start begins a conversation by a start alone, which is one action less than a
// start with a signal. One that is known already is told like any other event, and
// is promised nothing: it may be Inactive, where a start is no sign of life and
// the end of a promise would look like one. stands is for a promise that stands,
// which is left alone; without one, it takes back what an attempt to begin it may
// have promised.
func (s *Sender) start(ctx context.Context, start conversation.Start, stands bool) (receipt Receipt, began bool, err error) {
	options := s.startOptions(start, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
	options.WorkflowIDConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL
	_, err = s.temporal.ExecuteWorkflow(ctx, options, conversation.WorkflowType, start)
	if _, known := alreadyRan(err); known {
		switch {
		case start.Lease.Holder != s.options.ID: // a promise of the caller's own
		case stands:
			start.Lease = conversation.Lease{}
		default:
			start.Lease.Duration = 0
		}
		receipt, err = s.tell(ctx, event{start: start, signal: conversation.SignalStart, payload: start})
		return receipt, false, err
	}
	if err != nil {
		return "", false, fmt.Errorf("start %s: %w", start.WorkflowID(), err)
	}
	return Sent, true, nil
}

// tell starts the conversation or signals the one that runs. Where the last one
// has ended, the event's time tells whether it still belongs to that.
func (s *Sender) tell(ctx context.Context, e event) (Receipt, error) {
	err := s.signalWithStart(ctx, e, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
	if runID, ended := alreadyRan(err); ended {
		var last ending
		if last, err = s.ending(ctx, e.start.WorkflowID(), runID); err == nil {
			if last.covers(e) {
				return AlreadyOver, nil
			}
			err = s.signalWithStart(ctx, e, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE)
		}
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", e.signal, e.start.WorkflowID(), err)
	}
	return Sent, nil
}

func (s *Sender) signalWithStart(ctx context.Context, e event, reuse enumspb.WorkflowIdReusePolicy) error {
	_, err := s.temporal.SignalWithStartWorkflow(ctx, e.start.WorkflowID(), e.signal, e.payload,
		s.startOptions(e.start, reuse), conversation.WorkflowType, e.start)
	return err //nolint:wrapcheck // tell wraps it
}

// startOptions are those of a new conversation. What they set costs nothing;
// what the workflow would set later is billed.
func (s *Sender) startOptions(start conversation.Start, reuse enumspb.WorkflowIdReusePolicy) client.StartWorkflowOptions {
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
		StaticSummary: fmt.Sprintf("Conversation %s of org %s", start.ConversationIdentifier, start.OrgID),
		StaticDetails: fmt.Sprintf("Channel %s at address %s. %s",
			cmp.Or(start.AuthorizationContext, "(not known yet)"), cmp.Or(start.ChannelAddressIdentifier, "(not known yet)"),
			plan(start.Policy.WithDefaults())),
		Priority: temporal.Priority{FairnessKey: start.OrgID},
	}
}

// plan says what happens to a conversation that stays quiet.
func plan(p conversation.Policy) string {
	switch {
	case *p.InactivateAfter == 0:
		return "Never made Inactive."
	case *p.EndAfter == 0:
		return fmt.Sprintf("Inactivate after %s of quiet; Salesforce ends it.", p.InactivateAfter)
	default:
		return fmt.Sprintf("Inactivate after %s of quiet, End %s later.", p.InactivateAfter, p.EndAfter)
	}
}

// tellRunning signals a conversation only if it runs.
func (s *Sender) tellRunning(ctx context.Context, id conversation.Identity, signal string, payload any) (Receipt, error) {
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
