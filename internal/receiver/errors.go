package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

// problem is an error response in the form of RFC 9457 (application/problem+json).
// Its type is about:blank, so the title is the text of the status.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Errors are the first [maxErrors] field errors, or all events that were not
	// accepted.
	Errors []eventError `json:"errors,omitempty"`
	// Receipts counts the events that were accepted.
	Receipts map[sender.Receipt]int `json:"receipts,omitempty"`

	header http.Header
	// audited is what the audit log shows instead of Detail, if Detail has a text of a
	// workflow.
	audited string
}

// eventError is the error of one event of a request. The error of a path parameter
// has no index.
type eventError struct {
	// Index is the event's position in its batch, counted from 0.
	Index *int `json:"index,omitempty"`
	// Field is the JSON name of the field, if the error concerns one.
	Field   string `json:"field,omitempty"`
	Problem string `json:"problem"`
}

// maxErrors bounds the field errors in one response.
const maxErrors = 100

func newProblem(status int, detail string) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Detail: detail, header: http.Header{}}
}

// Error implements error.
func (p *problem) Error() string { return p.Title + ": " + p.Detail }

func (p *problem) withHeader(name, value string) *problem {
	p.header.Set(name, value)
	return p
}

// withRetryAfter says after how many seconds the client should send the request
// again.
func (p *problem) withRetryAfter(seconds int) *problem {
	return p.withHeader("Retry-After", strconv.Itoa(seconds))
}

// addFields adds field errors of one event, up to [maxErrors] in total.
func (p *problem) addFields(index *int, fields ...conversation.FieldError) {
	for _, f := range fields {
		if len(p.Errors) < maxErrors {
			p.Errors = append(p.Errors, eventError{Index: index, Field: f.Field, Problem: f.Problem})
		}
	}
}

// handler answers a request, or returns a [*problem] to answer with.
type handler func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := h(w, r)
	if err == nil {
		return
	}
	p, ok := errors.AsType[*problem](err)
	if !ok {
		p = newProblem(http.StatusInternalServerError, "")
	}
	maps.Copy(w.Header(), p.header)
	writeJSON(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, mediaType string, body any) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// An error means that the client is gone. The status is sent already.
	_ = json.NewEncoder(w).Encode(body)
}

// failure is the reason why an event was not accepted. The response to a request
// depends on the greatest failure of its events. Failures that pass by themselves
// are greater, so that the client sends the request again.
type failure int32

const (
	none failure = iota
	// rejected: Temporal does not accept the event, now or later.
	rejected
	// overloaded: the sender has no room for another conversation.
	overloaded
	// unavailable: Temporal did not accept the event in time, or the server stops.
	unavailable
)

func failureOf(err error) failure {
	_, pending := errors.AsType[*sender.PendingError](err)
	switch {
	case err == nil:
		return none
	case errors.Is(err, sender.ErrFull):
		return overloaded
	case pending, errors.Is(err, sender.ErrClosed), errors.Is(err, context.Canceled), sender.IsRetryable(err):
		return unavailable
	default:
		return rejected
	}
}

// retrySeconds is the Retry-After of a failure that passes by itself.
const retrySeconds = 5

func (f failure) problem(summary string) *problem {
	const again = " Send the same request again, or only the events listed in errors. " +
		"It does no harm to send an accepted event again."
	switch f {
	case overloaded:
		return newProblem(http.StatusTooManyRequests, summary+": too many conversations at once."+again).
			withRetryAfter(retrySeconds)
	case unavailable:
		return newProblem(http.StatusServiceUnavailable,
			summary+": Temporal did not accept them in time, or the server is stopping."+again).withRetryAfter(retrySeconds)
	default:
		return newProblem(http.StatusBadGateway, summary+": Temporal rejected them. "+
			"An operator must find out why: see the log. Send them again only after that.")
	}
}

// eventsProblem returns nil when every event was accepted.
func (s *server) eventsProblem(results []result, receipts map[sender.Receipt]int) *problem {
	var errs []eventError
	worst := none
	var cause error
	for i, r := range results {
		if r.err == nil {
			continue
		}
		errs = append(errs, eventError{Index: &i, Problem: describe(r.err)})
		if f := failureOf(r.err); f > worst {
			worst, cause = f, r.err
		}
	}
	// Absorbed messages do not show whether Temporal can be reached.
	s.log.record(worst, cause, len(receipts) > 0 && receipts[sender.Absorbed] < len(results))
	if worst == none {
		return nil
	}
	p := worst.problem(fmt.Sprintf("%d of %d events were not accepted", len(errs), len(results)))
	p.Errors, p.Receipts = errs, receipts
	return p
}

// describe returns what a client gets to know about the error of an event. Texts of
// Temporal and its address are only for the log.
func describe(err error) string {
	if skipped, ok := errors.AsType[*skippedError](err); ok {
		return skipped.Error()
	}
	if _, pending := errors.AsType[*sender.PendingError](err); pending {
		return "stored in memory and retried, but not covered by a lease yet"
	}
	switch failureOf(err) {
	case overloaded:
		return sender.ErrFull.Error()
	case unavailable:
		return "Temporal did not accept it in time"
	default:
		return "Temporal rejected it"
	}
}

// outageEnd is how long no event must have failed before an outage counts as over.
// While Temporal accepts some events and not others, the log would else alternate.
const outageEnd = 10 * time.Second

// outageLog logs the start and the end of a time in which events are not accepted,
// and, once a minute, that Temporal rejects events.
type outageLog struct {
	logger   *slog.Logger
	rejected logLimit

	mu sync.Mutex
	// worst is the greatest [failure] of the outage, none outside of one.
	worst failure
	// since and last are the times of its first and last failure.
	since, last time.Time
}

// record is called for every request. Reached is whether Temporal accepted any of
// its events.
func (l *outageLog) record(f failure, cause error, reached bool) {
	now := time.Now()
	switch {
	case errors.Is(cause, context.Canceled): // the client has disconnected
	case f == rejected:
		if others, ok := l.rejected.allow(now); ok {
			l.logger.Error("Temporal rejected events", "error", cause, "otherRequestsSinceLastLine", others)
		}
	case f != none:
		l.failed(f, cause, now)
	case reached:
		l.succeeded(now)
	}
}

func (l *outageLog) failed(f failure, cause error, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.worst == none {
		l.since = now
	}
	l.last = now
	if f > l.worst {
		l.worst = f
		l.logger.Warn("Events are not accepted", "error", cause)
	}
}

func (l *outageLog) succeeded(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.worst == none || now.Sub(l.last) < outageEnd {
		return
	}
	l.worst = none
	l.logger.Info("Events are accepted again", "outage", l.last.Sub(l.since).Round(time.Second).String())
}
