package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"sessionkeeper/sender"
)

// fault is why an event was not accepted. A request with several is answered by
// the greatest: one that goes away by itself comes before one that does not, so
// that the client sends the request again.
type fault int32

const (
	none fault = iota
	// refused: Temporal does not want it, now or later.
	refused
	// full: there is no room for another conversation.
	full
	// away: Temporal did not take it in time, or the door is closing.
	away
)

func faultOf(err error) fault {
	var kept *sender.PendingError
	switch {
	case err == nil:
		return none
	case errors.Is(err, sender.ErrFull):
		return full
	case errors.As(err, &kept), errors.Is(err, sender.ErrClosed), errors.Is(err, context.Canceled), sender.IsRetryable(err):
		return away
	default:
		return refused
	}
}

// Seconds after which a client should come back.
const (
	afterFull = 5
	afterAway = 5
)

const again = "Send the same request again, or only the events that are listed: what was accepted already does no harm twice."

// refusal is the problem to answer with, nil when every event was accepted.
func (d *door) refusal(answers []answer, receipts map[sender.Receipt]int) error {
	worst, count := none, 0
	var cause error
	for _, a := range answers {
		f := faultOf(a.err)
		if f != none {
			count++
		}
		if f > worst {
			worst, cause = f, a.err
		}
	}
	d.trouble.note(worst, cause, len(receipts) > 0 && receipts[sender.Absorbed] < len(answers))
	if worst == none {
		return nil
	}
	p := worst.problem(fmt.Sprintf("%d of %d events were not accepted", count, len(answers)))
	p.Receipts = receipts
	for i, a := range answers {
		if a.err != nil {
			p.Errors = append(p.Errors, eventProblem{Index: &i, Problem: said(a.err)})
		}
	}
	return p
}

// said is what a client is told about an event. What Temporal says, and where it
// is, is for the log.
func said(err error) string {
	var behind *behindError
	var kept *sender.PendingError
	switch {
	case errors.As(err, &behind):
		return behind.Error()
	case errors.As(err, &kept):
		return "kept and tried again, but nothing stands for it yet"
	}
	switch faultOf(err) {
	case full:
		return sender.ErrFull.Error()
	case away:
		return "Temporal did not take it in time"
	default:
		return "Temporal refused it"
	}
}

func (f fault) problem(what string) *problem {
	switch f {
	case full:
		return newProblem(http.StatusTooManyRequests, what+": too many conversations at once. "+again).retryAfter(afterFull)
	case away:
		return newProblem(http.StatusServiceUnavailable, what+": Temporal did not take them in time, or the server is stopping. "+again).retryAfter(afterAway)
	default:
		return newProblem(http.StatusBadGateway, what+": Temporal refused them, which an operator has to look into: the log says more. Sending them again helps only after that.")
	}
}

// trouble logs that events cannot be accepted when that begins and when it ends,
// and each request of which Temporal refuses a part.
type trouble struct {
	logger *slog.Logger
	since  atomic.Int32
}

// note is told of every request: its fault, and whether Temporal took any of it.
func (t *trouble) note(f fault, cause error, taken bool) {
	switch {
	case errors.Is(cause, context.Canceled): // the client has gone
	case f == refused:
		t.logger.Error("Events were refused", "error", cause)
	case f != none:
		if fault(t.since.Swap(int32(f))) != f {
			t.logger.Warn("Events are not accepted", "error", cause)
		}
	case taken && fault(t.since.Swap(int32(none))) != none:
		t.logger.Info("Events are accepted again")
	}
}
