package receiver

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"
)

// Limits bound what requests may cost. Absent ones take their default.
type Limits struct {
	// Body is the size of a request's body, in bytes. Default [DefaultBody].
	Body int64
	// Events is the number of events in a batch. Default [DefaultEvents].
	Events int
	// Requests is the number of requests under way that tell events, and that of
	// those that ask how a conversation stands. Those beyond are refused at once.
	// Default [DefaultRequests].
	Requests int
	// Accept is how long Temporal may take to accept a request's events, or to
	// tell how a conversation stands. Default [DefaultAccept].
	Accept time.Duration
	// Read is how long a client may take to send its request. Default
	// [DefaultRead].
	Read time.Duration
}

// Defaults of [Limits].
const (
	DefaultBody     = 1 << 20
	DefaultEvents   = 1000
	DefaultRequests = 64
	DefaultAccept   = 10 * time.Second
	DefaultRead     = 15 * time.Second
)

const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute
	writeTimeout  = 10 * time.Second
	maxHeader     = 32 << 10
)

func (l Limits) withDefaults() Limits {
	l.Body = cmp.Or(l.Body, DefaultBody)
	l.Events = cmp.Or(l.Events, DefaultEvents)
	l.Requests = cmp.Or(l.Requests, DefaultRequests)
	l.Accept = cmp.Or(l.Accept, DefaultAccept)
	l.Read = cmp.Or(l.Read, DefaultRead)
	return l
}

// server is an HTTP server that gives no client more time than this.
func (l Limits) server(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: min(headerTimeout, l.Read),
		ReadTimeout:       l.Read,
		WriteTimeout:      l.Read + l.Accept + writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}
