package simulator

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// maxTextInJournal is the largest number of bytes of a text that clients
// choose, such as a field name.
const maxTextInJournal = 240

// LostClientGone is Entry.Lost if the client closed the connection before the
// response.
const LostClientGone = "clientGone"

// Entry is one request and its response in the journal. It contains no token,
// assertion, secret or endUserClientId.
type Entry struct {
	// Seq numbers the requests from 1, in the order of their arrival.
	Seq uint64 `json:"seq"`
	// ReceivedAt is when the request arrived.
	ReceivedAt time.Time `json:"receivedAt"`
	// AnsweredAt is just before the response was sent; zero while the request
	// is in flight.
	AnsweredAt time.Time `json:"answeredAt,omitzero"`
	// Method is the HTTP method.
	Method string `json:"method"`
	// Path is the path of the URL, without the query.
	Path string `json:"path"`
	// OrgID is the org of the token or client; if that is unknown, the OrgId
	// header.
	OrgID                  string `json:"orgId,omitempty"`
	Operation              string `json:"operation,omitempty"`
	OperationBy            string `json:"operationBy,omitempty"`
	ConversationIdentifier string `json:"conversationIdentifier,omitempty"`
	SessionID              string `json:"sessionId,omitempty"`
	RequestID              string `json:"requestId,omitempty"`
	AuthorizationContext   string `json:"authorizationContext,omitempty"`
	// Violations name each rule of the contract that the request broke. Wrong
	// or expired credentials and unknown ids are no violations.
	Violations []string `json:"violations,omitempty"`
	// SessionBefore is the session's status before the operation; empty if no
	// session was found.
	SessionBefore Status `json:"sessionBefore,omitempty"`
	// SessionAfter is the session's status after the operation.
	SessionAfter Status `json:"sessionAfter,omitempty"`
	// Status is the HTTP status that was sent; 0 if no response was sent.
	Status int `json:"status"`
	// Code of an error response.
	Code int `json:"code,omitempty"`
	// Symbol of an error response.
	Symbol string `json:"symbol,omitempty"`
	// ErrorReason of a business failure, or the OAuth error.
	ErrorReason string `json:"errorReason,omitempty"`
	// Success is whether the response that was sent reports success.
	Success bool `json:"success"`
	// FaultID is the id of the fault that acted on the request.
	FaultID string `json:"faultId,omitempty"`
	// Lost is why the response did not arrive complete: a Break, or
	// LostClientGone.
	Lost string `json:"lost,omitempty"`
}

// Answered reports whether the request is no longer in flight.
func (e Entry) Answered() bool {
	return !e.AnsweredAt.IsZero()
}

// journal holds the latest entries.
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

// begin adds an entry for a request and returns its Seq.
func (j *journal) begin(req *request) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := newEntry(req)
	e.Seq = j.first + uint64(len(j.entries))
	if len(j.entries) == j.limit {
		// Not copied here: append copies the entries when its array is full.
		j.entries = j.entries[1:]
		j.first++
		j.dropped++
	}
	j.entries = append(j.entries, e)
	j.notify()
	return e.Seq
}

// complete adds the result to an entry, unless the entry has been dropped.
func (j *journal) complete(seq uint64, req *request, res result, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if seq < j.first {
		return
	}
	e := &j.entries[seq-j.first]
	e.AnsweredAt = now
	e.Violations = slices.Clone(req.violations)
	res.describe(e)
	j.notify()
}

// notify wakes those that wait for a change.
func (j *journal) notify() {
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.first += uint64(len(j.entries))
	j.entries, j.dropped = nil, 0
	j.notify()
}

// snapshot returns a copy of the entries, and a channel that is closed at the
// next change.
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
			return fmt.Errorf("wait for the sandbox's journal (entries: %d): %w", len(entries), context.Cause(ctx))
		}
	}
}

func newEntry(req *request) Entry {
	return Entry{
		ReceivedAt:             req.receivedAt,
		Method:                 truncate(req.http.Method, 16),
		Path:                   truncate(req.http.URL.Path, maxTextInJournal),
		OrgID:                  req.orgID(),
		Operation:              truncate(req.fields["operation"], maxTextInJournal),
		OperationBy:            truncate(req.fields["operationBy"], maxTextInJournal),
		ConversationIdentifier: truncate(req.fields["conversationIdentifier"], maxTextInJournal),
		SessionID:              truncate(req.fields["sessionId"], maxTextInJournal),
		RequestID:              truncate(req.header(requestIDHeader), 36),
		AuthorizationContext:   truncate(req.header("AuthorizationContext"), maxTextInJournal),
		Violations:             slices.Clone(req.violations),
	}
}

// describe sets the fields of an entry to what the client received.
func (res result) describe(e *Entry) {
	e.SessionBefore, e.SessionAfter, e.FaultID = res.before, res.after, res.faultID
	switch {
	case res.clientGone:
		e.Lost = LostClientGone
		return
	case res.breakage == Reset:
		e.Lost = string(Reset)
		return
	}
	e.Lost, e.Status = string(res.breakage), res.response.status
	if res.breakage != NotJSON && e.Status != http.StatusNoContent {
		e.Code, e.Symbol, e.ErrorReason = res.response.code, res.response.symbol, res.response.errorReason
		e.Success = res.response.success && res.breakage != Truncate
	}
}
