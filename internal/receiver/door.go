package receiver

import (
	"log/slog"
	"net/http"

	"sessionkeeper/sender"
)

// door answers requests.
type door struct {
	sender  *sender.Sender
	tokens  *Tokens
	limits  Limits
	metrics *metrics
	trouble trouble
	// telling and asking have an entry for every request under way: an answer
	// that is waited for may not keep events out.
	telling, asking slots
}

type slots chan struct{}

// newDoor returns the door's routes. What is outside of /v1/ needs no token.
func newDoor(s *sender.Sender, tokens *Tokens, limits Limits, m *metrics, logger *slog.Logger) http.Handler {
	d := &door{
		sender: s, tokens: tokens, limits: limits, metrics: m, trouble: trouble{logger: logger},
		telling: make(slots, limits.Requests), asking: make(slots, limits.Requests),
	}
	mux := http.NewServeMux()
	route := func(path, method string, h http.Handler) {
		mux.Handle(method+" "+path, m.instrument(path, h))
		mux.Handle(path, m.instrument(path, only(method)))
	}
	route("/v1/events", http.MethodPost, d.guarded(d.telling, d.takeEvents))
	route("/v1/conversations/{orgId}/{conversationIdentifier}", http.MethodGet, d.guarded(d.asking, d.tellState))
	route("/openapi.yaml", http.MethodGet, failing(tellOpenAPI))
	route("/openapi.json", http.MethodGet, tellOpenAPIAsJSON())
	mux.Handle("/", m.instrument("other", failing(func(http.ResponseWriter, *http.Request) error {
		return newProblem(http.StatusNotFound, "see /openapi.json for what is here")
	})))
	return mux
}

// only refuses every method but one.
func only(method string) http.Handler {
	allow := method
	if method == http.MethodGet {
		allow = "GET, HEAD"
	}
	return failing(func(http.ResponseWriter, *http.Request) error {
		return newProblem(http.StatusMethodNotAllowed, "want "+allow).with("Allow", allow)
	})
}

// guarded lets requests with a token in, and no more of them than may be under
// way.
func (d *door) guarded(free slots, next failing) http.Handler {
	return failing(func(w http.ResponseWriter, r *http.Request) error {
		if d.tokens != nil && !d.tokens.accept(r.Header.Values("Authorization")) {
			return newProblem(http.StatusUnauthorized, "want the header Authorization: Bearer <token>").
				with("WWW-Authenticate", `Bearer realm="sessionkeeper"`)
		}
		select {
		case free <- struct{}{}:
			defer func() { <-free }()
			return next(w, r)
		default:
			return newProblem(http.StatusTooManyRequests, "too many requests are under way; send it again later").retryAfter(1)
		}
	})
}
