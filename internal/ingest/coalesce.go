package ingest

import (
	"context"
	"time"

	"sessionkeeper/internal/cloudevent"
)

// A partition that coalesces holds the messages of a conversation back, and sends only
// the one with the latest time: it says all that the others say. It sends it before
// any other event of the conversation, so that no event passes another one.

const (
	// maxHold is how long a message is held back at most.
	maxHold = time.Second
	// maxHeldBytes limits the lines that a partition holds back.
	maxHeldBytes = 1 << 20
)

// held are the messages that a partition holds back.
type held struct {
	byConversation map[string]*heldMessage
	// bytes is the size of the lines of all of them.
	bytes int
	// expired is when the first of them has been held for maxHold.
	expired *time.Timer
}

// heldMessage is a message and the lines that it covers.
type heldMessage struct {
	task
	covers []line
}

func newHeld() *held {
	h := &held{byConversation: map[string]*heldMessage{}, expired: time.NewTimer(maxHold)}
	h.expired.Stop()
	return h
}

// sendAll sends the events of one partition, in order.
func (r *run) sendAll(ctx context.Context, p partition) error {
	h := newHeld()
	defer h.expired.Stop()
	for {
		var err error
		select {
		case t, open := <-p:
			if !open {
				return r.release(ctx, h)
			}
			err = r.accept(ctx, h, t)
		case <-h.expired.C:
			err = r.release(ctx, h)
		}
		if err != nil {
			return err
		}
	}
}

// accept sends an event, or holds it back.
func (r *run) accept(ctx context.Context, h *held, t task) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !r.Coalesce {
		return r.send(ctx, t)
	}
	if h.merge(t) {
		return nil
	}
	if err := r.releaseOne(ctx, h, t.event.Identity.WorkflowID()); err != nil {
		return err
	}
	if !isMergeable(t.event) {
		return r.send(ctx, t)
	}
	h.add(t)
	if h.bytes > maxHeldBytes {
		return r.release(ctx, h)
	}
	return nil
}

// isMergeable reports whether an event is a message with a time. One without a time
// happened when it is sent.
func isMergeable(e cloudevent.Event) bool { return e.Type == cloudevent.TypeMessage && !e.At.IsZero() }

// merge adds a message to the one of its conversation that is held back, if there is
// one of the same session.
func (h *held) merge(t task) bool {
	m := h.byConversation[t.event.Identity.WorkflowID()]
	if m == nil || !isMergeable(t.event) || m.event.Identity != t.event.Identity || h.bytes > maxHeldBytes {
		return false
	}
	h.bytes += len(t.text)
	covered := t.line
	if t.event.At.After(m.event.At) {
		covered, m.task = m.line, t
	}
	m.covers = append(m.covers, covered)
	return true
}

func (h *held) add(t task) {
	if len(h.byConversation) == 0 {
		h.expired.Reset(maxHold)
	}
	h.byConversation[t.event.Identity.WorkflowID()] = &heldMessage{task: t}
	h.bytes += len(t.text)
}

// release sends every message that is held back.
func (r *run) release(ctx context.Context, h *held) error {
	for conversation := range h.byConversation {
		if err := r.releaseOne(ctx, h, conversation); err != nil {
			return err
		}
	}
	return nil
}

// releaseOne sends the message of a conversation, if one is held back.
func (r *run) releaseOne(ctx context.Context, h *held, conversation string) error {
	m := h.byConversation[conversation]
	if m == nil {
		return nil
	}
	delete(h.byConversation, conversation)
	h.bytes -= len(m.text)
	for _, l := range m.covers {
		h.bytes -= len(l.text)
	}
	if len(h.byConversation) == 0 {
		h.expired.Stop()
	}
	return r.send(ctx, m.task, m.covers...)
}
