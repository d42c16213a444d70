package receiver

import (
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sessionkeeper/internal/access"
)

// authorized answers a request of a caller, or returns a [*problem] to answer with.
type authorized func(w http.ResponseWriter, r *http.Request, c *caller) error

// caller is who sends a request.
type caller struct {
	*access.Token
	*account
	// record is what the audit log says of the request.
	record record
}

// anonymous is the token on a server without tokens.
var anonymous = &access.Token{Name: "none", Orgs: []string{access.AllOrgs}}

// authorize rejects requests without an accepted token, and those of a token that
// sends too many. Each other request has a line in the audit log.
func (s *server) authorize(next authorized) handler {
	return func(w http.ResponseWriter, r *http.Request) (err error) {
		began := time.Now()
		token, err := s.authenticate(r)
		if err != nil {
			return err
		}
		c := &caller{Token: token, account: s.accounts.of(token)}
		defer func() { s.audit.write(r, c, err, began) }()
		if err = c.admitRequest(began); err != nil {
			return err
		}
		return next(w, r, c)
	}
}

// authenticate returns the token of a request.
func (s *server) authenticate(r *http.Request) (*access.Token, error) {
	if s.tokens == nil {
		return anonymous, nil
	}
	found, err := s.tokens.Find(r.Header)
	if err != nil {
		return nil, newProblem(http.StatusServiceUnavailable,
			"the server cannot read its tokens; send the same request again").withRetryAfter(retrySeconds)
	}
	if found == nil {
		s.failures.record(r)
		return nil, newProblem(http.StatusUnauthorized, "want the header Authorization: Bearer <token>").
			withHeader("WWW-Authenticate", `Bearer realm="sessionkeeper"`)
	}
	return found, nil
}

// authFailures counts the requests without an accepted token, and warns of them once a
// minute.
type authFailures struct {
	total  *prometheus.CounterVec
	logger *slog.Logger
	limit  logLimit
}

func newAuthFailures(registry *prometheus.Registry, logger *slog.Logger) *authFailures {
	f := &authFailures{
		logger: logger,
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sessionkeeper_http_authentication_failures_total",
			Help: "Requests without an accepted token, by whether they had a token",
		}, []string{"token"}),
	}
	registry.MustRegister(f.total)
	return f
}

func (f *authFailures) record(r *http.Request) {
	kind := "none"
	if r.Header.Get("Authorization") != "" {
		kind = "unknown"
	}
	f.total.WithLabelValues(kind).Inc()
	if others, ok := f.limit.allow(time.Now()); ok {
		f.logger.Warn("A request had no accepted token", "token", kind, "remote", remoteOf(r), "othersSinceLastLine", others)
	}
}

// remoteOf is the address from which a request came: perhaps that of a proxy.
func remoteOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}
