package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/seal"
)

// closeRequest is one call of the update "close" that has not returned.
type closeRequest struct {
	close conversation.Close
	// generation is the one that is being closed, noGeneration if it had ended
	// before.
	generation int
	// ofNext: it closes the session of the next run, to which an update cannot move.
	ofNext  bool
	outcome *conversation.Outcome
	err     error
}

const noGeneration = -1

func (c *closeRequest) resolved() bool { return c.outcome != nil || c.err != nil }

// validateClose refuses a close that cannot be read, so that it leaves no event in
// the history.
func (r *runner) validateClose(_ workflow.Context, raw converter.RawValue) error {
	if seal.Check(raw) != nil {
		return nil //nolint:nilerr // the handler waits for the key
	}
	var e conversation.Close
	err := read(raw, &e)
	if err == nil {
		return nil
	}
	err = unreadable("close", err)
	answer := conversation.Answer{
		Operation: conversation.End, By: conversation.System, Reason: activities.ReasonInvalidRequest, Message: err.Error(),
	}
	return temporal.NewNonRetryableApplicationError(answer.Message, answer.Reason, nil, answer)
}

// closeAndWait is the update "close". It returns the outcome. If the conversation
// is Blocked, it fails with the reason; the close stays requested.
func (r *runner) closeAndWait(ctx workflow.Context, raw converter.RawValue) (*conversation.Outcome, error) {
	request := &closeRequest{generation: noGeneration}
	if err := read(raw, &request.close); err != nil {
		return nil, unreadable("close", err) // the validator has read it before
	}
	r.updates = append(r.updates, request)
	if err := workflow.Await(ctx, request.resolved); err != nil {
		return nil, err
	}
	return request.outcome, request.err
}

// applyUpdates applies the closes of the updates that have arrived.
func (r *runner) applyUpdates(now time.Time) {
	for _, request := range r.updates {
		switch r.state.applyClose(request.close, now) {
		case nil:
			request.outcome = r.state.supersededOutcome(noGeneration)
			request.outcome.SessionID = request.close.SessionID
			continue
		case r.state.Next:
			request.ofNext = true
		default:
			request.generation = r.state.Generation
		}
		r.closeRequests = append(r.closeRequests, request)
	}
	r.updates = nil
}

// resolveCloses completes the updates whose close has a result.
func (r *runner) resolveCloses() {
	switch s := r.state; {
	case s.Outcome != nil && r.pendingCall != nil:
		// The outcome counts the attempts of the call in flight too.
	case s.Outcome != nil:
		r.failClosesOfNext()
		r.resolveAll(s.Outcome, nil)
	case s.Blocked != nil:
		r.resolveAll(nil, temporal.NewNonRetryableApplicationError(
			"the close is blocked until an operator removes the cause: "+s.Blocked.Message, s.Blocked.Reason, nil, s.Blocked))
	case s.Closing == nil:
		r.resolveSuperseded()
	}
}

// resolveSuperseded completes the updates whose close is not requested any more:
// their session has ended, or it continues because a message was written.
func (r *runner) resolveSuperseded() {
	s := r.state
	var waiting []*closeRequest
	for _, request := range r.closeRequests {
		switch {
		case r.pendingCall != nil && r.pendingCall.call.generation == request.generation:
			waiting = append(waiting, request)
		case request.generation == s.Generation && s.LastAnswer != nil:
			request.err = temporal.NewNonRetryableApplicationError(
				"Salesforce refused the close, and the session continues because a message was written after it: "+
					s.LastAnswer.Message, s.LastAnswer.Reason, nil, s.LastAnswer)
		default:
			request.outcome = s.supersededOutcome(request.generation)
		}
	}
	r.closeRequests = waiting
}

// failClosesOfNext fails the updates that close the session of the next run, because that
// session is not over. When their callers get the error, the next run has begun.
func (r *runner) failClosesOfNext() {
	for _, request := range r.closeRequests {
		if request.ofNext {
			request.err = temporal.NewApplicationError(
				"the next run ends this session: send the update again to wait for it", conversation.ErrorNextRun)
		}
	}
	r.closeRequests = slices.DeleteFunc(r.closeRequests, func(c *closeRequest) bool { return c.ofNext })
}

// supersededOutcome is the outcome of a session that a newer one has replaced.
func (s *State) supersededOutcome(generation int) *conversation.Outcome {
	outcome := &conversation.Outcome{
		Why: conversation.NewSession, At: s.SessionSince, EndsEventsUntil: s.SessionSince, Policy: s.Policy,
	}
	if s.Replaced != nil && s.Replaced.Generation == generation {
		outcome.SessionID, outcome.Attempts = s.Replaced.SessionID, s.Replaced.Attempts
	}
	return outcome
}

func (r *runner) resolveAll(outcome *conversation.Outcome, err error) {
	for _, request := range r.closeRequests {
		request.outcome, request.err = outcome, err
	}
	r.closeRequests = nil
}

// failCloses fails every update that has not returned.
func (r *runner) failCloses(cause error) {
	r.closeRequests, r.updates = append(r.closeRequests, r.updates...), nil
	r.resolveAll(nil, cause)
}
