package receiver

import (
	"context"
	"net/http"

	"golang.org/x/sync/errgroup"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/sender"
)

// speakers is how many conversations of a request are spoken to at once.
const speakers = 64

// accepted is the answer when every event of a request was accepted.
type accepted struct {
	Accepted int                    `json:"accepted"`
	Receipts map[sender.Receipt]int `json:"receipts"`
}

// takeEvents checks a whole request before it tells any of its events.
func (d *door) takeEvents(w http.ResponseWriter, r *http.Request) error {
	batch, err := d.read(w, r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), d.limits.Accept)
	defer cancel()
	answers := d.tell(ctx, batch)
	receipts := d.metrics.count(batch, answers)
	if err := d.refusal(answers, receipts); err != nil {
		return err
	}
	write(w, http.StatusAccepted, "application/json", accepted{Accepted: len(batch), Receipts: receipts})
	return nil
}

// answer is what came of one event.
type answer struct {
	receipt sender.Receipt
	err     error
}

// tell passes events on: those of one conversation in their order, until one is
// not accepted, and different conversations at once.
func (d *door) tell(ctx context.Context, batch []cloudevent.Event) []answer {
	answers := make([]answer, len(batch))
	var group errgroup.Group
	group.SetLimit(speakers)
	for _, places := range byConversation(batch) {
		group.Go(func() error {
			d.tellInOrder(ctx, batch, places, answers)
			return nil
		})
	}
	_ = group.Wait() // the errors are in the answers
	return answers
}

func (d *door) tellInOrder(ctx context.Context, batch []cloudevent.Event, places []int, answers []answer) {
	var failed error
	for _, i := range places {
		switch {
		case failed != nil:
			answers[i].err = &behindError{failed}
			continue
		case ctx.Err() != nil:
			answers[i].err = context.Cause(ctx)
		default:
			answers[i].receipt, answers[i].err = batch[i].Send(ctx, d.sender)
		}
		failed = answers[i].err
	}
}

// behindError is the error of an event that was not told, because an earlier one
// of its conversation was not accepted.
type behindError struct{ cause error }

func (e *behindError) Error() string {
	return "not told: an earlier event of its conversation was not accepted"
}
func (e *behindError) Unwrap() error { return e.cause }

// key names a conversation.
type key struct{ orgID, conversationIdentifier string }

func keyOf(id conversation.Identity) key { return key{id.OrgID, id.ConversationIdentifier} }

// byConversation is where in a batch the events of each conversation are.
func byConversation(batch []cloudevent.Event) map[key][]int {
	places := make(map[key][]int, min(len(batch), 1024))
	for i, e := range batch {
		k := keyOf(e.Identity)
		places[k] = append(places[k], i)
	}
	return places
}
