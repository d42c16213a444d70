package workflows

import (
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/conversation"
)

// closeRequest is one call of the update "close" that has not returned.
type closeRequest struct {
	close conversation.Close
	// generation is the one that is being closed, noGeneration if it had ended
	// before.
	generation int
	outcome    *conversation.Outcome
	err        error
}

const noGeneration = -1

func (c *closeRequest) resolved() bool { return c.outcome != nil || c.err != nil }

func (r *runner) validateClose(_ workflow.Context, e conversation.Close) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if r.state.hasEnded(e.SessionID) {
		return fmt.Errorf("session %s has ended already", e.SessionID)
	}
	return nil
}

// closeAndWait is the update "close". It returns the outcome. If the conversation
// is Blocked, it fails with the reason; the close stays requested.
func (r *runner) closeAndWait(ctx workflow.Context, e conversation.Close) (*conversation.Outcome, error) {
	request := &closeRequest{close: e, generation: noGeneration}
	r.updates = append(r.updates, request)
	if err := workflow.Await(ctx, request.resolved); err != nil {
		return nil, err
	}
	return request.outcome, request.err
}

// resolveCloses completes the updates whose close has a result.
func (r *runner) resolveCloses() {
	switch s := r.state; {
	case s.Outcome != nil:
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
	for _, request := range r.closeRequests {
		if request.generation == s.Generation && s.LastAnswer != nil {
			request.err = temporal.NewNonRetryableApplicationError(
				"Salesforce refused the close, and the session continues because a message was written after it: "+
					s.LastAnswer.Message, s.LastAnswer.Reason, nil, s.LastAnswer)
			continue
		}
		request.outcome = &conversation.Outcome{
			Why: conversation.NewSession, At: s.SessionSince, EndsEventsUntil: s.SessionSince,
		}
	}
	r.closeRequests = nil
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
