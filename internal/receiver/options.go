package receiver

import (
	"cmp"
	"io"
	"time"

	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"sessionkeeper/internal/access"
	"sessionkeeper/internal/seal"
	"sessionkeeper/sender"
)

// Options are the settings of [Run].
type Options struct {
	// Temporal says how to connect. Run sets its logger and metrics. The connection
	// is made by the first call, so Temporal may be unreachable at the start.
	Temporal client.Options
	// Keys are the keys that Temporal's options encrypt payloads with, nil for none.
	Keys *seal.Keys
	// Sender are the settings of the senders: each token has its own. Run sets their
	// Logger, MaxConversations and MaxBytes. It must not have an ID.
	Sender sender.Options
	// Quota is what each token may use, unless the token says otherwise.
	Quota access.Quota
	// Listener says where the API listens.
	Listener access.Listener
	// MetricsListen is the address of /healthz, /readyz and /metrics. They need no
	// token.
	MetricsListen string
	// Tokens are the accepted bearer tokens. Without them every request is accepted,
	// which is allowed on a loopback address only.
	Tokens *access.Tokens
	// AllowedOrigins are the host names that may register this server as a webhook,
	// such as "eventgrid.azure.net"; [AnyOrigin] allows all. This is the handshake of
	// the CloudEvents specification "HTTP Webhook", which protects the sender: events
	// need a token all the same. Default: none.
	AllowedOrigins []string
	// Audit gets one JSON line per request of an accepted token. Nil: none.
	Audit  io.Writer
	Limits Limits
	// DrainTimeout is how long a graceful stop may take. At most half of it is for
	// requests in flight, the rest is for the report of absorbed messages. Default
	// [DefaultDrainTimeout].
	DrainTimeout time.Duration
	// Logger gets one line per problem, not per event. It never gets a token or
	// personal data.
	Logger *zap.Logger
	// Version is shown by the metric sessionkeeper_build_info. Default "dev".
	Version string
	// Started, if set, is called with both addresses when requests are accepted.
	Started func(address, metricsAddress string)
}

// DefaultDrainTimeout is less than the 30 seconds that Kubernetes leaves a pod
// between SIGTERM and SIGKILL.
const DefaultDrainTimeout = 25 * time.Second

// Limits bound what requests may cost. A field that is 0 takes its default.
type Limits struct {
	// Body is the size of a request's body, in bytes. Default [DefaultBody].
	Body int64
	// Events is the number of events in a batch. Default [DefaultEvents].
	Events int
	// Accept is how long Temporal may take to accept a request's events, or to
	// return a conversation's status. Default [DefaultAccept].
	Accept time.Duration
	// Read is how long a client may take to send its request. Default [DefaultRead].
	Read time.Duration
}

// Defaults of [Limits].
const (
	DefaultBody   = 1 << 20
	DefaultEvents = 1000
	DefaultAccept = 10 * time.Second
	DefaultRead   = 15 * time.Second
)

func (o Options) withDefaults() Options {
	o.Version = cmp.Or(o.Version, "dev")
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = DefaultDrainTimeout
	}
	o.Quota = withDefaults(o.Quota)
	l := &o.Limits
	l.Body = cmp.Or(l.Body, DefaultBody)
	l.Events = cmp.Or(l.Events, DefaultEvents)
	l.Accept = cmp.Or(l.Accept, DefaultAccept)
	l.Read = cmp.Or(l.Read, DefaultRead)
	return o
}
