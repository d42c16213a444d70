package receiver

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/sender"
)

// auditLog has one JSON line per request of an accepted token. It contains no token
// and no personal data.
type auditLog struct {
	logger *slog.Logger
	limit  logLimit

	mu sync.Mutex
	to io.Writer
}

// record is a line of the audit log.
type record struct {
	Time time.Time `json:"time"`
	// Token is the name of the token.
	Token  string `json:"token"`
	Remote string `json:"remote,omitempty"`
	// Request is "events" or "conversation".
	Request string `json:"request"`
	Status  int    `json:"status"`
	// Refused is why the request was refused.
	Refused string `json:"refused,omitempty"`
	// Conversation is the workflow id of a conversation that was read.
	Conversation string `json:"conversation,omitempty"`
	// Events are the numbers of events, by org, type and receipt.
	Events map[string]map[string]map[sender.Receipt]int `json:"events,omitempty"`
	// Milliseconds is how long the request took.
	Milliseconds int64 `json:"milliseconds"`
}

// These labels stand for the receipt of an event that has none.
const (
	// notAccepted: the event was valid, but it was not sent, or not accepted.
	notAccepted sender.Receipt = "not accepted"
	// forbidden: the token may not speak for the org of the event.
	forbidden sender.Receipt = "forbidden"
)

// count counts one event.
func (r *record) count(e cloudevent.Event, receipt sender.Receipt) {
	if r.Events == nil {
		r.Events = map[string]map[string]map[sender.Receipt]int{}
	}
	types := r.Events[e.Identity.OrgID]
	if types == nil {
		types = map[string]map[sender.Receipt]int{}
		r.Events[e.Identity.OrgID] = types
	}
	if types[shortType(e)] == nil {
		types[shortType(e)] = map[sender.Receipt]int{}
	}
	types[shortType(e)][receipt]++
}

// read names the conversation that is read.
func (r *record) read(id conversation.Identity) {
	if id.ValidateKey() == nil {
		r.Conversation = id.WorkflowID()
	}
}

func (a *auditLog) write(r *http.Request, c *caller, err error, began time.Time) {
	if a.to == nil {
		return
	}
	line := c.record
	line.Time, line.Token, line.Remote = began.UTC(), c.Name, remoteOf(r)
	line.Milliseconds = time.Since(began).Milliseconds()
	line.Request, line.Status = "events", http.StatusAccepted
	if r.Method != http.MethodPost {
		line.Request, line.Status = "conversation", http.StatusOK
	}
	if p, ok := errors.AsType[*problem](err); ok {
		line.Status, line.Refused = p.Status, cmp.Or(p.audited, p.Detail)
	} else if err != nil {
		line.Status = http.StatusInternalServerError
	}
	text, err := json.Marshal(line)
	if err == nil {
		a.mu.Lock()
		_, err = a.to.Write(append(text, '\n'))
		a.mu.Unlock()
	}
	if err != nil {
		if others, ok := a.limit.allow(time.Now()); ok {
			a.logger.Error("The audit log cannot be written", "error", err, "othersSinceLastLine", others)
		}
	}
}
