package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/conversation"
)

// signals are the channels on which events arrive, and the updates that are not
// applied yet.
type signals struct {
	start, message, close, status, retry workflow.ReceiveChannel
	updates                              []*closeRequest
}

// registerHandlers registers the signals, the query and the update.
func (r *runner) registerHandlers(ctx workflow.Context) error {
	channel := func(name, description string) workflow.ReceiveChannel {
		options := workflow.SignalChannelOptions{Description: description}
		return workflow.GetSignalChannelWithOptions(ctx, name, options)
	}
	r.signals = signals{
		start:   channel(conversation.SignalStart, "The identity and policy of the conversation, or a correction of them."),
		message: channel(conversation.SignalMessage, "A message was written. The idle time starts again."),
		close:   channel(conversation.SignalClose, "The chat has ended. Ends the session, by EndUser or System."),
		status:  channel(conversation.SignalSessionStatus, "A SessionStatusChanged entry from Salesforce."),
		retry:   channel(conversation.SignalRetry, "The cause of a block has been removed. Tries the call again."),
	}
	err := workflow.SetQueryHandlerWithOptions(ctx, conversation.QueryStatus,
		func() (conversation.Status, error) { return r.status(), nil },
		workflow.QueryHandlerOptions{
			Description: "Phase, deadlines and Salesforce's last answer. Contains no personal data.",
		})
	if err != nil {
		return fmt.Errorf("set query handler %q: %w", conversation.QueryStatus, err)
	}
	err = workflow.SetUpdateHandlerWithOptions(
		ctx,
		conversation.UpdateClose,
		r.closeAndWait,
		workflow.UpdateHandlerOptions{
			Validator:   r.validateClose,
			Description: "Ends the session and waits. Returns the outcome, or the reason why an operator is needed.",
		},
	)
	if err != nil {
		return fmt.Errorf("set update handler %q: %w", conversation.UpdateClose, err)
	}
	return nil
}

// pending reports whether there is anything to drain.
func (s *signals) pending() bool {
	return s.start.Len()+s.message.Len()+s.close.Len()+s.status.Len()+s.retry.Len()+len(s.updates) > 0
}

// drainSignals applies everything that has arrived. The order of the kinds only
// matters for events of one workflow task that have no time: a close is applied
// after the messages before it.
func (r *runner) drainSignals(ctx workflow.Context) {
	now := workflow.Now(ctx)
	drain(r, r.signals.start, func(e conversation.Start) { r.state.applyStart(e, now) })
	drain(r, r.signals.status, func(e conversation.SessionStatus) { r.state.applySessionStatus(e, now) })
	drain(r, r.signals.message, func(e conversation.Message) { r.state.applyMessage(e, now) })
	drain(r, r.signals.close, func(e conversation.Close) { r.state.applyClose(e, now) })
	for _, request := range r.signals.updates {
		r.state.applyClose(request.close, now)
		if r.state.Closing != nil {
			request.generation = r.state.Generation
		}
		r.closeRequests = append(r.closeRequests, request)
	}
	r.signals.updates = nil
	drain(r, r.signals.retry, func(conversation.Retry) { r.state.applyRetry() })
}

// drain applies every event of one channel. An event that cannot be decoded is
// not lost: the name of the signal says what happened, so it is applied as an
// event of now without fields, and LastDecodeError says what was wrong.
func drain[T any](r *runner, channel workflow.ReceiveChannel, apply func(T)) {
	var raw converter.RawValue
	for channel.ReceiveAsync(&raw) {
		var event T
		if err := decode(raw, &event); err != nil {
			var empty T
			event = empty
			r.state.LastDecodeError = decodeError(channel.Name(), err)
		}
		apply(event)
		raw = converter.RawValue{}
	}
}

// decodeError says which signal could not be decoded, and which field was wrong.
// It does not contain the decoder's own error, which repeats the value: a value
// may be personal data.
func decodeError(signal string, err error) string {
	problem := "it is not the expected JSON"
	if invalid, ok := errors.AsType[*conversation.InvalidError](err); ok {
		problem = invalid.Error()
	}
	return fmt.Sprintf("signal %q could not be decoded: %s", signal, problem)
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
