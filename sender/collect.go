package sender

import (
	"context"
	"fmt"
	"time"

	"sessionkeeper/conversation"
)

// collect absorbs a message, or waits until it is acknowledged.
func (s *Sender) collect(ctx context.Context, id conversation.Identity, at time.Time) (Receipt, error) {
	for {
		j, err := s.table.message(id, at)
		switch {
		case err != nil:
			return "", fmt.Errorf("message %s: %w", id.WorkflowID(), err)
		case j.earlierSession:
			receipt, _, err := s.message(ctx, id, conversation.Message{SessionID: id.SessionID, At: at})
			return receipt, err
		case j.send == nil:
			return Absorbed, nil
		}
		if err := s.reporter.wait(ctx, j); err != nil {
			return "", notAcknowledged(id, err, j.taken && s.table.abandon(j.send))
		}
		switch {
		case j.err != nil:
			return "", notAcknowledged(id, j.err, j.taken && j.kept)
		case j.taken && nanos(at) <= j.at:
			return j.receipt, nil
		}
	}
}

func notAcknowledged(id conversation.Identity, err error, kept bool) error {
	if kept {
		err = &PendingError{Cause: err}
	}
	return fmt.Errorf("message %s: %w", id.WorkflowID(), err)
}

// flush waits until everything that is known of a conversation now is
// acknowledged. It does not wait for messages that arrive later.
func (s *Sender) flush(ctx context.Context, id conversation.Identity) error {
	until := s.table.latest(keyOf(id))
	for {
		j, err := s.table.unacked(keyOf(id), until)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", id.WorkflowID(), err)
		case j.send == nil:
			return nil
		}
		if err := s.reporter.wait(ctx, j); err != nil {
			return fmt.Errorf("messages of %s: %w", id.WorkflowID(), err)
		}
		if j.err != nil {
			return fmt.Errorf("messages of %s: %w", id.WorkflowID(), j.err)
		}
	}
}

// deliver makes the request of a send.
func (s *Sender) deliver(ctx context.Context, d *send) {
	m := conversation.Message{
		SessionID: d.id.SessionID, At: timeOf(d.at),
		Lease: conversation.Lease{Holder: s.options.ID, Duration: conversation.Duration(d.lease)},
	}
	if d.at > d.acked {
		d.receipt, d.began, d.err = s.message(ctx, d.id, m)
	} else {
		d.receipt, d.err = s.signalRunning(ctx, d.id, conversation.SignalMessage, m)
	}
}
