package receiver

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.temporal.io/api/serviceerror"

	"sessionkeeper/conversation"
)

// state is how a conversation stands, with the time left if it stays quiet.
type state struct {
	conversation.Status
	// InactiveIn is absent when the session is not going to be made Inactive,
	// EndIn when it is not going to be ended.
	InactiveIn *conversation.Duration `json:"inactiveIn,omitempty"`
	EndIn      *conversation.Duration `json:"endIn,omitempty"`
}

func stateOf(status conversation.Status, now time.Time) state {
	s := state{Status: status, InactiveIn: left(status.InactivateAt, now), EndIn: left(status.EndAt, now)}
	if after := *status.Policy.WithDefaults().EndAfter; s.EndIn == nil && s.InactiveIn != nil && after > 0 {
		s.EndIn = left(status.InactivateAt.Add(time.Duration(after)), now)
	}
	return s
}

// left is the time from now, in whole seconds, none for a time that is not set.
func left(at, now time.Time) *conversation.Duration {
	if at.IsZero() {
		return nil
	}
	return new(conversation.Duration(max(0, at.Sub(now).Round(time.Second))))
}

// tellState answers how a conversation stands.
func (d *door) tellState(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), d.limits.Accept)
	defer cancel()
	status, err := d.sender.Status(ctx, conversation.Identity{
		OrgID: r.PathValue("orgId"), ConversationIdentifier: r.PathValue("conversationIdentifier"),
	})
	if err != nil {
		return d.unknown(err)
	}
	write(w, http.StatusOK, "application/json", stateOf(status, time.Now()))
	return nil
}

func (d *door) unknown(err error) error {
	var invalid *conversation.InvalidError
	var missing *serviceerror.NotFound
	// No worker has been there for a while.
	var unattended *serviceerror.FailedPrecondition
	switch {
	case errors.As(err, &invalid):
		p := newProblem(http.StatusBadRequest, "the path is wrong")
		p.list(nil, invalid.Fields...)
		return p
	case errors.As(err, &missing):
		return newProblem(http.StatusNotFound, "no such conversation is known")
	case errors.As(err, &unattended), faultOf(err) == away:
		return newProblem(http.StatusServiceUnavailable, "Temporal, or a worker, did not answer in time. Ask again.").retryAfter(afterAway)
	default:
		d.trouble.logger.Error("A question was refused", "error", err)
		return newProblem(http.StatusBadGateway, "Temporal refused to answer, which an operator has to look into.")
	}
}
