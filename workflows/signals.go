package workflows

import (
	"errors"
	"fmt"
	"slices"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/conversation"
)

// signalDescriptions are the signals of a conversation, with their descriptions.
var signalDescriptions = map[string]string{
	conversation.SignalStart:         "The identity and policy of the conversation, or a correction of them.",
	conversation.SignalMessage:       "A message was written. The idle time starts again.",
	conversation.SignalClose:         "The chat has ended. Ends the session, by EndUser or System.",
	conversation.SignalSessionStatus: "A SessionStatusChanged entry from Salesforce.",
	conversation.SignalRetry:         "The cause of a block has been removed. Tries the call again.",
}

// signalChannel returns the channel of a signal. A channel takes about 200 bytes, so
// it is created when the first signal arrives.
func signalChannel(ctx workflow.Context, name string) workflow.ReceiveChannel {
	options := workflow.SignalChannelOptions{Description: signalDescriptions[name]}
	return workflow.GetSignalChannelWithOptions(ctx, name, options)
}

// registerHandlers registers the query and the update, and the signals that
// operators send by hand, so that the Web UI offers these with their descriptions
// from the start.
func (r *runner) registerHandlers(ctx workflow.Context) error {
	signalChannel(ctx, conversation.SignalClose)
	signalChannel(ctx, conversation.SignalRetry)
	err := workflow.SetQueryHandlerWithOptions(ctx, conversation.QueryStatus,
		func() (conversation.Status, error) { return r.status(), nil },
		workflow.QueryHandlerOptions{
			Description: "Phase, deadlines and Salesforce's last answer. Contains no personal data.",
		})
	if err != nil {
		return fmt.Errorf("set query handler %q: %w", conversation.QueryStatus, err)
	}
	options := workflow.UpdateHandlerOptions{
		Validator:   r.validateClose,
		Description: "Ends the session and waits. Returns the outcome, or the reason why an operator is needed.",
	}
	err = workflow.SetUpdateHandlerWithOptions(ctx, conversation.UpdateClose, r.closeAndWait, options)
	if err != nil {
		return fmt.Errorf("set update handler %q: %w", conversation.UpdateClose, err)
	}
	return nil
}

// hasEvents reports whether there is anything to drain. A signal with an unknown name
// is ignored.
func (r *runner) hasEvents(ctx workflow.Context) bool {
	return len(r.updates) > 0 || slices.ContainsFunc(workflow.GetUnhandledSignalNames(ctx), func(name string) bool {
		return signalDescriptions[name] != ""
	})
}

// drainSignals applies everything that has arrived. The order of the kinds only
// matters for events of one workflow task that have no time: a close is applied
// after the messages before it.
func (r *runner) drainSignals(ctx workflow.Context) {
	now := workflow.Now(ctx)
	drain(ctx, r, conversation.SignalStart, func(e conversation.Start) { r.state.applyStart(e, now) })
	drain(ctx, r, conversation.SignalSessionStatus, func(e conversation.SessionStatus) {
		r.state.applySessionStatus(e, now)
	})
	drain(ctx, r, conversation.SignalMessage, func(e conversation.Message) { r.state.applyMessage(e, now) })
	drain(ctx, r, conversation.SignalClose, func(e conversation.Close) { r.state.applyClose(e, now) })
	for _, request := range r.updates {
		r.state.applyClose(request.close, now)
		if r.state.Closing != nil {
			request.generation = r.state.Generation
		}
		r.closeRequests = append(r.closeRequests, request)
	}
	r.updates = nil
	drain(ctx, r, conversation.SignalRetry, func(conversation.Retry) { r.state.applyRetry() })
}

// drain applies every signal of one name. A signal that cannot be decoded is not
// lost: its name says what happened, so it is applied as an event of now without
// fields, and LastDecodeError says what was wrong.
func drain[T any](ctx workflow.Context, r *runner, name string, apply func(T)) {
	if !slices.Contains(workflow.GetUnhandledSignalNames(ctx), name) {
		return
	}
	var raw converter.RawValue
	for channel := signalChannel(ctx, name); channel.ReceiveAsync(&raw); raw = (converter.RawValue{}) {
		var event T
		if err := decode(raw, &event); err != nil {
			var empty T
			event = empty
			r.state.LastDecodeError = decodeError(name, err)
		}
		apply(event)
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
