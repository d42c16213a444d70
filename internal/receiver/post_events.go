package receiver

import (
	"context"
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
func (s *server) postEvents(w http.ResponseWriter, r *http.Request) error {
	batch, err := s.decode(w, r)
	if err != nil {
		return err
	}
	s.lateness.observe(batch, time.Now())
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.Accept)
	defer cancel()
	results := s.send(ctx, batch)
	receipts := s.metrics.count(batch, results)
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

// result is the receipt or the error of one event.
type result struct {
	receipt sender.Receipt
	err     error
}

// send sends different conversations' events in parallel. The events of one
// conversation are sent in order, up to the first that is not accepted.
func (s *server) send(ctx context.Context, batch []cloudevent.Event) []result {
	results := make([]result, len(batch))
	var group errgroup.Group
	group.SetLimit(maxParallelConversations)
	for _, indexes := range byConversation(batch) {
		group.Go(func() error {
			s.sendInOrder(ctx, batch, indexes, results)
			return nil
		})
	}
	_ = group.Wait() // the errors are in the results
	return results
}

func (s *server) sendInOrder(ctx context.Context, batch []cloudevent.Event, indexes []int, results []result) {
	var failed error
	for _, i := range indexes {
		switch {
		case failed != nil:
			results[i].err = &skippedError{failed}
			continue
		case ctx.Err() != nil:
			results[i].err = context.Cause(ctx)
		default:
			results[i].receipt, results[i].err = batch[i].Send(ctx, s.sender)
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
