// Package sender tells conversations what happens to them, and asks them how
// they stand: the library that routing systems import, and that the starter
// uses.
//
// Every event may be the first that is heard of a conversation, may be sent
// twice and may arrive in any order: it starts the conversation's workflow or
// signals the one that runs, and an event that belongs to a conversation which
// has ended since is recognised by its time and does nothing. Give every event
// its time and, where known, its session id: without a time it is of now.
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

// Options are the settings of a [Sender]. All have a default.
type Options struct {
	// TaskQueue is where the workers listen. Default
	// [conversation.DefaultTaskQueue].
	TaskQueue string
	// Policy is for conversations that begin with another event than a start,
	// until their start arrives. Default: the defaults of [conversation.Policy].
	Policy conversation.Policy
}

// Sender speaks to conversations. It is safe for concurrent use.
type Sender struct {
	temporal client.Client
	options  Options
}

// New returns a sender on a Temporal client.
func New(c client.Client, options Options) *Sender {
	options.TaskQueue = cmp.Or(options.TaskQueue, conversation.DefaultTaskQueue)
	return &Sender{temporal: c, options: options}
}

// Receipt says what became of an event.
type Receipt string

// The receipts.
const (
	// Sent: the conversation has it.
	Sent Receipt = "sent"
	// AlreadyOver: it belongs to a conversation that has ended, so there was
	// nothing to do. An event that is sent twice may end so.
	AlreadyOver Receipt = "already over"
	// NotTracked: no such conversation runs, and there was not enough to start
	// one from.
	NotTracked Receipt = "not tracked"
)

// Start begins a conversation, or corrects the identity and policy of one that
// runs.
func (s *Sender) Start(ctx context.Context, start conversation.Start) (Receipt, error) {
	if err := start.Validate(); err != nil {
		return "", fmt.Errorf("start: %w", err)
	}
	return s.tell(ctx, event{start: start, signal: conversation.SignalStart, payload: start})
}

// Message reports that somebody wrote. m.SessionID defaults to id's. With only
// the two identifiers that name the conversation in id, the message reaches it
// only if it runs.
func (s *Sender) Message(ctx context.Context, id conversation.Identity, m conversation.Message) (Receipt, error) {
	m.SessionID = cmp.Or(m.SessionID, id.SessionID)
	id.SessionID = m.SessionID
	if err := problems(validate(id), m.Validate(), s.options.Policy.Validate()); err != nil {
		return "", fmt.Errorf("message: %w", err)
	}
	if keyOnly(id) {
		return s.tellRunning(ctx, id, conversation.SignalMessage, m)
	}
	return s.tell(ctx, event{start: s.begin(id, m.At), signal: conversation.SignalMessage, payload: m})
}

// Close asks to End the session. c.SessionID defaults to id's. A close that
// names the session which has ended does nothing, whatever its time. With only
// the two identifiers that name the conversation in id, the close reaches it
// only if it runs.
func (s *Sender) Close(ctx context.Context, id conversation.Identity, c conversation.Close) (Receipt, error) {
	e, err := s.closing(id, c)
	if err != nil {
		return "", err
	}
	if keyOnly(id) {
		return s.tellRunning(ctx, id, conversation.SignalClose, e.payload)
	}
	return s.tell(ctx, e)
}

// SessionStatus passes on Salesforce's SessionStatusChanged entry. Only the
// org's and the conversation's identifiers of id are needed. An entry that the
// session has ended is kept even for a conversation that was not heard of yet,
// because its start may still be on the way.
func (s *Sender) SessionStatus(ctx context.Context, id conversation.Identity, status conversation.SessionStatus) (Receipt, error) {
	id.SessionID = status.SessionID
	id.ChannelAddressIdentifier = cmp.Or(id.ChannelAddressIdentifier, status.ChannelAddressIdentifier)
	if err := problems(id.ValidateKey(), status.Validate(), s.options.Policy.Validate()); err != nil {
		return "", fmt.Errorf("session status: %w", err)
	}
	if status.Status != conversation.StatusEnded {
		return s.tellRunning(ctx, id, conversation.SignalSessionStatus, status)
	}
	return s.tell(ctx, event{
		start:  s.begin(id, cmp.Or(status.At, status.EndTime.Time)),
		signal: conversation.SignalSessionStatus, payload: status,
		endOf: status.SessionID,
	})
}

// Retry tells a Blocked conversation that the cause is removed. The error is a
// [*serviceerror.NotFound] when none runs.
func (s *Sender) Retry(ctx context.Context, id conversation.Identity) error {
	if err := id.ValidateKey(); err != nil {
		return fmt.Errorf("retry: %w", err)
	}
	if err := s.temporal.SignalWorkflow(ctx, id.WorkflowID(), "", conversation.SignalRetry, conversation.Retry{}); err != nil {
		return fmt.Errorf("retry %s: %w", id.WorkflowID(), err)
	}
	return nil
}

// event is one thing to tell, with what starts the conversation if it is the
// first that is heard of it.
type event struct {
	start   conversation.Start
	signal  string
	payload any
	// endOf is the session whose end this is, where the event names it.
	endOf string
}

func (s *Sender) begin(id conversation.Identity, at time.Time) conversation.Start {
	return conversation.Start{Identity: id, Policy: s.options.Policy, At: at}
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
