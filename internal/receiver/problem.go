package receiver

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

// problem is an answer that is no success, in the form of RFC 9457
// (application/problem+json). Its type is about:blank, so the title is that of
// the status.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Errors are the first that were found, or all events that were not accepted.
	Errors []eventProblem `json:"errors,omitempty"`
	// Receipts count the events that were accepted all the same.
	Receipts map[sender.Receipt]int `json:"receipts,omitempty"`

	header http.Header
}

// eventProblem is what is wrong with one event of a request, or with one
// parameter: then it has no index.
type eventProblem struct {
	// Index is the event's place in its batch, from 0.
	Index *int `json:"index,omitempty"`
	// Field is the JSON name of what is wrong, where it has one.
	Field   string `json:"field,omitempty"`
	Problem string `json:"problem"`
}

// maxListed bounds the errors in an answer to what is wrong.
const maxListed = 100

func newProblem(status int, detail string) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Detail: detail, header: http.Header{}}
}

// Error implements error.
func (p *problem) Error() string { return p.Title + ": " + p.Detail }

func (p *problem) with(header, value string) *problem {
	p.header.Set(header, value)
	return p
}

// retryAfter asks the client to come back, in seconds.
func (p *problem) retryAfter(seconds int) *problem {
	return p.with("Retry-After", strconv.Itoa(seconds))
}

// list adds what is wrong with an event, as far as there is room.
func (p *problem) list(index *int, fields ...conversation.FieldError) {
	for _, f := range fields {
		if len(p.Errors) < maxListed {
			p.Errors = append(p.Errors, eventProblem{Index: index, Field: f.Field, Problem: f.Problem})
		}
	}
}

// failing answers a request, or says by a problem why it cannot.
type failing func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (f failing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := f(w, r)
	if err == nil {
		return
	}
	var p *problem
	if !errors.As(err, &p) {
		p = newProblem(http.StatusInternalServerError, "")
	}
	maps.Copy(w.Header(), p.header)
	write(w, p.Status, "application/problem+json", p)
}

func write(w http.ResponseWriter, status int, mediaType string, body any) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// The client may have gone: nobody is left to tell.
	_ = json.NewEncoder(w).Encode(body)
}
