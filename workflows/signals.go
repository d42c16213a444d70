package workflows

import (
	"fmt"
	"slices"
	"time"

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
	conversation.SignalCallFailing:   "The worker says that a call keeps failing. Only the worker sends it.",
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
//
// A payload that cannot be read is not an error of the workflow. A message counts
// as of now, because somebody wrote. A close counts as of now if what it says of
// by and sessionId can be read. Anything else changes nothing.
func (r *runner) drainSignals(ctx workflow.Context) {
	now := workflow.Now(ctx)
	drain(ctx, r, conversation.SignalStart, nil, func(e conversation.Start) { r.applyStart(ctx, e, now) })
	drain(ctx, r, conversation.SignalSessionStatus, nil, func(e conversation.SessionStatus) {
		r.applySessionStatus(ctx, e, now)
	})
	drain(ctx, r, conversation.SignalMessage, messageOfNow, func(e conversation.Message) { r.state.applyMessage(e, now) })
	drain(ctx, r, conversation.SignalClose, closeOfNow, func(e conversation.Close) { r.state.applyClose(e, now) })
	r.applyUpdates(now)
	drain(ctx, r, conversation.SignalCallFailing, nil, func(e conversation.CallFailing) {
		if r.pendingCall != nil {
			r.state.applyCallFailing(e)
		}
	})
	drain(ctx, r, conversation.SignalRetry, retryWithoutPayload, func(conversation.Retry) { r.state.applyRetry() })
}

// drain applies every signal of one name. Where a payload cannot be read, salvage
// returns what counts instead, if anything does; it may be nil.
func drain[T any](
	ctx workflow.Context, r *runner, name string, salvage func(converter.RawValue) (T, bool), apply func(T),
) {
	if !slices.Contains(workflow.GetUnhandledSignalNames(ctx), name) {
		return
	}
	var raw converter.RawValue
	for channel := signalChannel(ctx, name); channel.ReceiveAsync(&raw); raw = (converter.RawValue{}) {
		var event T
		err := read(raw, &event)
		ok := err == nil
		if !ok && salvage != nil {
			event, ok = salvage(raw)
		}
		if err != nil {
			r.reportUnreadable(ctx, name, raw, err)
		}
		if ok {
			measureLateness(ctx, name, event)
			apply(event)
		}
	}
}

// measureLateness measures how late an event of a routing system has arrived, by the
// clock of the worker. A histogram that moves to hours shows a clock that is behind.
func measureLateness(ctx workflow.Context, name string, event any) {
	var at time.Time
	switch e := event.(type) {
	case conversation.Start:
		at = e.At
	case conversation.Message:
		at = e.At
	case conversation.Close:
		at = e.At
	}
	if at.IsZero() {
		return
	}
	workflow.GetMetricsHandler(ctx).WithTags(map[string]string{"signal": name}).
		Timer("sessionkeeper_event_lateness").Record(max(0, workflow.Now(ctx).Sub(at)))
}

// applyStart applies a start, and warns if it names somebody else.
func (r *runner) applyStart(ctx workflow.Context, e conversation.Start, now time.Time) {
	if refused := r.state.applyStart(e, now); !refused {
		return
	}
	workflow.GetLogger(ctx).Warn("A start names another end user, channel or channel address; they did not change")
	workflow.GetMetricsHandler(ctx).Counter("sessionkeeper_refused_identities").Inc(1)
}

// applySessionStatus applies a status, and warns if Salesforce reports a session as
// alive that has ended.
func (r *runner) applySessionStatus(ctx workflow.Context, e conversation.SessionStatus, now time.Time) {
	before := r.state.AliveAfterEnd
	r.state.applySessionStatus(e, now)
	if r.state.AliveAfterEnd.Equal(before) {
		return
	}
	workflow.GetLogger(ctx).Warn("Salesforce reports a session as alive that has ended", "sessionId", e.SessionID)
	workflow.GetMetricsHandler(ctx).Counter("sessionkeeper_alive_after_end").Inc(1)
}

// reportUnreadable leaves a remark for the details, and counts. A signal "retry"
// without a payload is usual.
func (r *runner) reportUnreadable(ctx workflow.Context, name string, raw converter.RawValue, err error) {
	if name == conversation.SignalRetry && isEmpty(raw) {
		return
	}
	r.state.Unreadable = unreadable("signal "+name, err).Error()
	workflow.GetLogger(ctx).Warn("Payload cannot be read", "signal", name, "problem", r.state.Unreadable)
	workflow.GetMetricsHandler(ctx).WithTags(map[string]string{"signal": name}).
		Counter("sessionkeeper_unreadable_payloads").Inc(1)
}
