package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/conversation"
)

// inbox is where events arrive.
type inbox struct {
	start, message, close, status, retry workflow.ReceiveChannel
	// asked are the closes that came as updates.
	asked []*waiter
}

// waiter is a caller of the update "close".
type waiter struct {
	close conversation.Close
	// life is the one that is being closed, none when it was over already.
	life    int
	outcome *conversation.Outcome
	err     error
}

// none is no life of a conversation.
const none = -1

func (w *waiter) answered() bool { return w.outcome != nil || w.err != nil }

// open sets up everything through which the conversation can be spoken to.
func (k *keeper) open(ctx workflow.Context) error {
	channel := func(name, description string) workflow.ReceiveChannel {
		return workflow.GetSignalChannelWithOptions(ctx, name, workflow.SignalChannelOptions{Description: description})
	}
	k.inbox = inbox{
		start:   channel(conversation.SignalStart, "The conversation's identity and policy, or a correction of them."),
		message: channel(conversation.SignalMessage, "Somebody wrote: the idle clock starts anew."),
		close:   channel(conversation.SignalClose, "The chat is over: End the session, by EndUser or System."),
		status:  channel(conversation.SignalSessionStatus, "Salesforce's SessionStatusChanged entry."),
		retry:   channel(conversation.SignalRetry, "The cause of a block is removed: try again."),
	}
	err := workflow.SetQueryHandlerWithOptions(ctx, conversation.QueryStatus,
		func() (conversation.Status, error) { return k.status(), nil },
		workflow.QueryHandlerOptions{Description: "Phase, deadlines, last answer of Salesforce; no personal data."})
	if err != nil {
		return fmt.Errorf("set query handler %q: %w", conversation.QueryStatus, err)
	}
	err = workflow.SetUpdateHandlerWithOptions(ctx, conversation.UpdateClose, k.closeAndWait, workflow.UpdateHandlerOptions{
		Validator:   k.checkClose,
		Description: "End the session and wait: answers with the outcome, or with the reason why an operator is needed.",
	})
	if err != nil {
		return fmt.Errorf("set update handler %q: %w", conversation.UpdateClose, err)
	}
	return nil
}

// arrived reports whether anything waits to be taken in.
func (b *inbox) arrived() bool {
	return b.start.Len()+b.message.Len()+b.close.Len()+b.status.Len()+b.retry.Len()+len(b.asked) > 0
}

// listen takes in everything that has arrived. Within one workflow task the
// kinds are taken in this order, which only matters to events without a time:
// a close comes after the messages before it.
func (k *keeper) listen(ctx workflow.Context) {
	now := workflow.Now(ctx)
	receive(k, k.inbox.start, func(e conversation.Start) { k.state.started(e, now) })
	receive(k, k.inbox.status, func(e conversation.SessionStatus) { k.state.sessionStatus(e, now) })
	receive(k, k.inbox.message, func(e conversation.Message) { k.state.message(e, now) })
	receive(k, k.inbox.close, func(e conversation.Close) { k.state.closed(e, now) })
	for _, w := range k.inbox.asked {
		k.state.closed(w.close, now)
		if k.state.Closing != nil {
			w.life = k.state.Life
		}
		k.waiting = append(k.waiting, w)
	}
	k.inbox.asked = nil
	receive(k, k.inbox.retry, func(conversation.Retry) { k.state.retry() })
}

// receive drains one channel. A payload that cannot be read is not lost: the
// signal's name alone says what happened, so it is taken as one without
// details, of now, and the remark says what was wrong.
func receive[T any](k *keeper, channel workflow.ReceiveChannel, take func(T)) {
	var raw converter.RawValue
	for channel.ReceiveAsync(&raw) {
		var event T
		if err := decode(raw, &event); err != nil {
			var blank T
			event = blank
			k.state.Remark = remark(channel.Name(), err)
		}
		take(event)
		raw = converter.RawValue{}
	}
}

// remark says which signal could not be read. Only a wrong field is named: what
// stands in it, which a decoder would repeat, may be personal data.
func remark(signal string, err error) string {
	said := "it is not the JSON that is expected"
	if invalid, ok := errors.AsType[*conversation.InvalidError](err); ok {
		said = invalid.Error()
	}
	return fmt.Sprintf("signal %q could not be read: %s", signal, said)
}

func decode(raw converter.RawValue, event any) error {
	if err := converter.GetDefaultDataConverter().FromPayload(raw.Payload(), event); err != nil {
		return err
	}
	if checked, ok := event.(interface{ Validate() error }); ok {
		return checked.Validate()
	}
	return nil
}

func (k *keeper) checkClose(_ workflow.Context, e conversation.Close) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if k.state.isPast(e.SessionID) {
		return fmt.Errorf("session %s is over already", e.SessionID)
	}
	return nil
}

// closeAndWait is the update "close". It answers with the outcome, or fails
// with the reason when the conversation is Blocked; the close then still stands.
func (k *keeper) closeAndWait(ctx workflow.Context, e conversation.Close) (*conversation.Outcome, error) {
	w := &waiter{close: e, life: none}
	k.inbox.asked = append(k.inbox.asked, w)
	if err := workflow.Await(ctx, w.answered); err != nil {
		return nil, err
	}
	return w.outcome, w.err
}

// answerWaiting answers the callers whose close has come to something.
func (k *keeper) answerWaiting() {
	switch {
	case k.state.Outcome != nil:
		k.answerAll(k.state.Outcome, nil)
	case k.state.Blocked != nil:
		b := k.state.Blocked
		k.answerAll(nil, temporal.NewNonRetryableApplicationError(
			"the close stands, but is blocked until an operator removes the cause: "+b.Message, b.Reason, nil, b))
	case k.state.Closing == nil:
		k.answerLeftOver()
	}
}

// answerLeftOver answers callers whose close is not wanted any more: their
// session is over, or goes on because somebody wrote.
func (k *keeper) answerLeftOver() {
	s := k.state
	for _, w := range k.waiting {
		if w.life == s.Life && s.Answer != nil {
			w.err = temporal.NewNonRetryableApplicationError(
				"the close was refused, and is taken back because a message has come since: "+s.Answer.Message, s.Answer.Reason, nil, s.Answer)
			continue
		}
		w.outcome = &conversation.Outcome{Why: conversation.NewSession, At: s.SessionSince, EndsEventsUntil: s.SessionSince}
	}
	k.waiting = nil
}

func (k *keeper) answerAll(outcome *conversation.Outcome, err error) {
	for _, w := range k.waiting {
		w.outcome, w.err = outcome, err
	}
	k.waiting = nil
}

func (k *keeper) leaveWaiting(cause error) {
	k.waiting, k.inbox.asked = append(k.waiting, k.inbox.asked...), nil
	k.answerAll(nil, cause)
}

// status is the answer to the query.
func (k *keeper) status() conversation.Status {
	s := k.state
	status := conversation.Status{
		Phase:                  s.Phase(),
		OrgID:                  s.Identity.OrgID,
		ConversationIdentifier: s.Identity.ConversationIdentifier,
		SessionID:              s.Identity.SessionID,
		SessionStatus:          s.SessionStatus,
		StartedAt:              s.SessionSince,
		LastMessageAt:          s.LastMessage.At,
		Blocked:                s.Blocked,
		BlockedUntil:           s.blockedUntil(),
		LastAnswer:             s.Answer,
		Policy:                 s.Policy,
		Outcome:                s.Outcome,
	}
	if status.Phase == conversation.Active || status.Phase == conversation.Inactive {
		status.InactivateAt, status.EndAt = s.inactivateAt(), s.endAt()
		status.LeaseUntil = s.promisedUntil()
	}
	if k.flight != nil {
		status.Calling = k.flight.call.Operation
	}
	return status
}

// rfc3339 is how times are shown.
func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }
