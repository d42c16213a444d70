package receiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/sender"
)

// maxParallelConversations is how many conversations of one request get events at
// the same time.
const maxParallelConversations = 64

// accepted is the body of the answer when every event of a request was accepted, if
// the client asks for it.
type accepted struct {
	Accepted int                    `json:"accepted"`
	Receipts map[sender.Receipt]int `json:"receipts"`
}

// postEvents validates all events of a request before it sends the first one.
func (s *server) postEvents(w http.ResponseWriter, r *http.Request, c *caller) error {
	memory := &allocation{of: c.memory}
	defer memory.release()
	// The body is read before the request takes a slot: a slow client must not keep
	// the other requests of its token out.
	batch, err := s.decode(w, r, c, memory)
	if err != nil {
		return err
	}
	results := make([]result, len(batch))
	defer func() {
		for i, e := range batch {
			c.record.count(e, results[i].label())
		}
		s.metrics.count(c.record)
	}()
	if err := c.forbid(batch, results); err != nil {
		return err
	}
	if err := c.admitEvents(time.Now(), len(batch)); err != nil {
		return err
	}
	if !c.writes.take() {
		return tooMany(fmt.Sprintf("%d requests at the same time", c.quota.Requests))
	}
	defer c.writes.release()
	s.lateness.observe(batch, time.Now())
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.Accept)
	defer cancel()
	send(ctx, c.sender, batch, results)
	receipts := acceptedOf(results)
	if p := s.eventsProblem(results, receipts); p != nil {
		return p
	}
	if asksForJSON(r.Header) {
		writeJSON(w, http.StatusAccepted, "application/json", accepted{Accepted: len(batch), Receipts: receipts})
		return nil
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// forbid rejects a request with events of orgs for which the token may not speak.
func (c *caller) forbid(batch []cloudevent.Event, results []result) error {
	p := newProblem(http.StatusForbidden, "")
	foreign := 0
	for i, e := range batch {
		if c.SpeaksFor(e.Identity.OrgID) {
			continue
		}
		foreign++
		results[i].err = errForbidden
		p.Errors = append(p.Errors, eventError{Index: &i, Field: "orgId", Problem: errForbidden.Error()})
	}
	if foreign == 0 {
		return nil
	}
	p.Detail = fmt.Sprintf("%d of %d events are of orgs for which this token may not speak; %s",
		foreign, len(batch), notProcessed)
	return p
}

var errForbidden = errors.New("this token may not speak for this org")

// result is the receipt or the error of one event. It has neither if the event was not
// sent.
type result struct {
	receipt sender.Receipt
	err     error
}

// label is what metrics and the audit log show.
func (r result) label() sender.Receipt {
	if errors.Is(r.err, errForbidden) {
		return forbidden
	}
	return cmp.Or(r.receipt, notAccepted)
}

// acceptedOf counts the receipts of the accepted events.
func acceptedOf(results []result) map[sender.Receipt]int {
	receipts := map[sender.Receipt]int{}
	for _, r := range results {
		if r.err == nil {
			receipts[r.receipt]++
		}
	}
	return receipts
}

// send sends different conversations' events in parallel. The events of one
// conversation are sent in order, up to the first that is not accepted.
func send(ctx context.Context, s *sender.Sender, batch []cloudevent.Event, results []result) {
	var group errgroup.Group
	group.SetLimit(maxParallelConversations)
	for _, indexes := range byConversation(batch) {
		group.Go(func() error {
			sendInOrder(ctx, s, batch, indexes, results)
			return nil
		})
	}
	_ = group.Wait() // the errors are in the results
}

func sendInOrder(
	ctx context.Context, s *sender.Sender, batch []cloudevent.Event, indexes []int, results []result,
) {
	var failed error
	for _, i := range indexes {
		switch {
		case failed != nil:
			results[i].err = &skippedError{failed}
			continue
		case ctx.Err() != nil:
			results[i].err = context.Cause(ctx)
		default:
			results[i].receipt, results[i].err = batch[i].Send(ctx, s)
		}
		failed = results[i].err
	}
}

// skippedError is the error of an event that was not sent, because an earlier
// event of its conversation was not accepted.
type skippedError struct{ cause error }

func (e *skippedError) Error() string {
	return "not processed: an earlier event of its conversation was not accepted"
}
func (e *skippedError) Unwrap() error { return e.cause }

// byConversation returns the indexes of each conversation's events in a batch.
func byConversation(batch []cloudevent.Event) map[string][]int {
	indexes := make(map[string][]int, min(len(batch), 1024))
	for i, e := range batch {
		id := e.Identity.WorkflowID()
		indexes[id] = append(indexes[id], i)
	}
	return indexes
}
