package receiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.temporal.io/api/serviceerror"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

// status is a conversation's status, with the time left if no message arrives.
type status struct {
	sender.Description
	// InactiveIn is absent when no Inactivate is due, EndIn when no End is due.
	InactiveIn *conversation.Duration `json:"inactiveIn,omitempty"`
	EndIn      *conversation.Duration `json:"endIn,omitempty"`
}

func newStatus(s sender.Description, now time.Time) status {
	with := status{Description: s, InactiveIn: timeUntil(s.InactivateAt, now), EndIn: timeUntil(s.EndAt, now)}
	endAfter := *s.Policy.WithDefaults().EndAfter
	if with.EndIn == nil && with.InactiveIn != nil && endAfter > 0 {
		with.EndIn = timeUntil(s.InactivateAt.Add(time.Duration(endAfter)), now)
	}
	return with
}

// timeUntil returns the time from now in whole seconds, or nil for a zero time.
func timeUntil(at, now time.Time) *conversation.Duration {
	if at.IsZero() {
		return nil
	}
	return new(conversation.Duration(max(0, at.Sub(now).Round(time.Second))))
}

func (s *server) getConversation(w http.ResponseWriter, r *http.Request, c *caller) error {
	id := conversation.Identity{
		OrgID: r.PathValue("orgId"), ConversationIdentifier: r.PathValue("conversationIdentifier"),
	}
	c.record.read(id)
	if !c.SpeaksFor(id.OrgID) {
		return newProblem(http.StatusForbidden, errForbidden.Error())
	}
	if !c.reads.take() {
		return tooMany(fmt.Sprintf("%d requests at the same time that read a conversation", c.quota.Requests))
	}
	defer c.reads.release()
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.Accept)
	defer cancel()
	found, err := c.sender.Describe(ctx, id)
	if err = cmp.Or(err, found.NoAnswer); err != nil {
		return s.statusProblem(found, err)
	}
	writeJSON(w, http.StatusOK, "application/json", newStatus(found, time.Now()))
	return nil
}

func (s *server) statusProblem(found sender.Description, err error) *problem {
	if invalid, ok := errors.AsType[*conversation.InvalidError](err); ok {
		p := newProblem(http.StatusBadRequest, "the path is invalid")
		p.addFields(nil, invalid.Fields...)
		return p
	}
	if _, ok := errors.AsType[*serviceerror.NotFound](err); ok {
		return newProblem(http.StatusNotFound, "the conversation is not known")
	}
	// Temporal answers FailedPrecondition when no worker has polled for some time.
	_, noWorker := errors.AsType[*serviceerror.FailedPrecondition](err)
	if noWorker || failureOf(err) == unavailable {
		return newProblem(http.StatusServiceUnavailable,
			"Temporal or a worker did not answer in time. Send the request again.").withRetryAfter(retrySeconds)
	}
	s.log.logger.Error("Temporal rejected a status request", "error", err)
	if _, failed := errors.AsType[*serviceerror.QueryFailed](err); failed && found.Failure != nil {
		p := newProblem(http.StatusBadGateway, fmt.Sprintf("The workflow failed with %s and has no status: %s",
			found.Failure.Reason, found.Failure.Message))
		p.audited = "the workflow failed and has no status"
		return p
	}
	return newProblem(http.StatusBadGateway, "Temporal rejected the request. An operator must find out why: see the log.")
}
