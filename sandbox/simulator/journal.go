package simulator

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// maxTextInJournal cuts texts that clients choose, such as field names.
const maxTextInJournal = 240

// LostClientGone is Entry.Lost when the client left before the answer.
const LostClientGone = "clientGone"

// Entry is one request and its answer. It holds no token, assertion, secret or
// endUserClientId.
type Entry struct {
	// Seq numbers requests from 1 in the order they were received.
	Seq uint64 `json:"seq"`
	// ReceivedAt is when the request came.
	ReceivedAt time.Time `json:"receivedAt"`
	// AnsweredAt is just before the answer was sent; zero while the request is
	// in flight.
	AnsweredAt time.Time `json:"answeredAt,omitzero"`
	Method     string    `json:"method"`
	// Path as in the URL, without query.
	Path string `json:"path"`
	// OrgID is that of the token or client, else the OrgId header.
	OrgID                  string `json:"orgId,omitempty"`
	Operation              string `json:"operation,omitempty"`
	OperationBy            string `json:"operationBy,omitempty"`
	ConversationIdentifier string `json:"conversationIdentifier,omitempty"`
	SessionID              string `json:"sessionId,omitempty"`
	RequestID              string `json:"requestId,omitempty"`
	AuthorizationContext   string `json:"authorizationContext,omitempty"`
	// Violations name each rule of the contract that the request broke. Wrong
	// or expired credentials and unknown names are none.
	Violations []string `json:"violations,omitempty"`
	// SessionBefore and SessionAfter are the session's status around the
	// operation; empty when no session was found.
	SessionBefore Status `json:"sessionBefore,omitempty"`
	SessionAfter  Status `json:"sessionAfter,omitempty"`
	// Status is the HTTP status sent, 0 when none was.
	Status int `json:"status"`
	// Code and Symbol of an error answer.
	Code   int    `json:"code,omitempty"`
	Symbol string `json:"symbol,omitempty"`
	// ErrorReason of a business failure, or the OAuth error.
	ErrorReason string `json:"errorReason,omitempty"`
	// Success tells that the answer sent says so.
	Success bool `json:"success"`
	// FaultID is the fault that acted on the request.
	FaultID string `json:"faultId,omitempty"`
	// Lost tells why the answer did not arrive whole: a Break or "clientGone".
	Lost string `json:"lost,omitempty"`
}

// Answered tells that the request is no longer in flight.
func (e Entry) Answered() bool {
	return !e.AnsweredAt.IsZero()
}

// journal keeps the latest entries.
type journal struct {
	mu      sync.Mutex
	limit   int
	first   uint64 // Seq of entries[0]
	entries []Entry
	dropped uint64
	changed chan struct{} // closed at the next change
}

func newJournal(limit int) *journal {
	return &journal{limit: limit, first: 1, changed: make(chan struct{})}
}

// open writes down a request and returns its number.
func (j *journal) open(c *call) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := entryOf(c)
	e.Seq = j.first + uint64(len(j.entries))
	if len(j.entries) == j.limit {
		// Slicing off the front lets append move the rest only now and then.
		j.entries = j.entries[1:]
		j.first++
		j.dropped++
	}
	j.entries = append(j.entries, e)
	j.wake()
	return e.Seq
}

// close completes an entry, unless it was dropped meanwhile.
func (j *journal) close(seq uint64, c *call, out outcome, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if seq < j.first {
		return
	}
	e := &j.entries[seq-j.first]
	e.AnsweredAt = now
	e.Violations = slices.Clone(c.violations)
	out.describe(e)
	j.wake()
}

func (j *journal) wake() {
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.first += uint64(len(j.entries))
	j.entries, j.dropped = nil, 0
	j.wake()
}

// snapshot copies the entries and says what closes at the next change.
func (j *journal) snapshot() (entries []Entry, changed <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries), j.changed
}

func (j *journal) droppedCount() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dropped
}

func (j *journal) wait(ctx context.Context, done func([]Entry) bool) error {
	for {
		entries, changed := j.snapshot()
		if done(entries) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting on the sandbox's journal (entries: %d): %w", len(entries), context.Cause(ctx))
		}
	}
}

func entryOf(c *call) Entry {
	return Entry{
		ReceivedAt:             c.receivedAt,
		Method:                 truncate(c.request.Method, 16),
		Path:                   truncate(c.request.URL.Path, maxTextInJournal),
		OrgID:                  c.orgID(),
		Operation:              truncate(c.fields["operation"], maxTextInJournal),
		OperationBy:            truncate(c.fields["operationBy"], maxTextInJournal),
		ConversationIdentifier: truncate(c.fields["conversationIdentifier"], maxTextInJournal),
		SessionID:              truncate(c.fields["sessionId"], maxTextInJournal),
		RequestID:              truncate(c.header(requestIDHeader), 36),
		AuthorizationContext:   truncate(c.header("AuthorizationContext"), maxTextInJournal),
		Violations:             slices.Clone(c.violations),
	}
}

// describe puts the outcome into an entry as the client saw it.
func (out outcome) describe(e *Entry) {
	e.SessionBefore, e.SessionAfter, e.FaultID = out.before, out.after, out.faultID
	switch {
	case out.clientGone:
		e.Lost = LostClientGone
		return
	case out.spoiled == Reset:
		e.Lost = string(Reset)
		return
	}
	e.Lost, e.Status = string(out.spoiled), out.reply.status
	if out.spoiled != NotJSON && e.Status != http.StatusNoContent {
		e.Code, e.Symbol, e.ErrorReason = out.reply.code, out.reply.symbol, out.reply.errorReason
		e.Success = out.reply.success && out.spoiled != Truncate
	}
}
