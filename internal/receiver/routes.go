package receiver

import "net/http"

// routes returns the handler of all routes. Only routes below /v1/ need a token.
func (s *server) routes() http.Handler {
	// Reads have slots of their own: reads that wait for a worker must not keep
	// events out.
	writeSlots, readSlots := make(slots, s.limits.Requests), make(slots, s.limits.Requests)
	mux := http.NewServeMux()
	route := func(path, method string, h http.Handler) {
		mux.Handle(method+" "+path, s.metrics.instrument(path, h))
		mux.Handle(path, s.metrics.instrument(path, methodNotAllowed(method)))
	}
	route("/v1/events", http.MethodPost, s.requireToken(writeSlots.limit(s.postEvents)))
	route("/v1/conversations/{orgId}/{conversationIdentifier}", http.MethodGet,
		s.requireToken(readSlots.limit(s.getConversation)))
	route("/openapi.yaml", http.MethodGet, handler(getOpenAPI))
	route("/openapi.json", http.MethodGet, getOpenAPIAsJSON())
	mux.Handle("/", s.metrics.instrument("other", handler(func(http.ResponseWriter, *http.Request) error {
		return newProblem(http.StatusNotFound, "the API is described at /openapi.json")
	})))
	return mux
}

// methodNotAllowed answers requests with any method but the one of the route.
func methodNotAllowed(method string) http.Handler {
	allow := method
	if method == http.MethodGet {
		allow = "GET, HEAD"
	}
	return handler(func(http.ResponseWriter, *http.Request) error {
		return newProblem(http.StatusMethodNotAllowed, "want "+allow).withHeader("Allow", allow)
	})
}

// slots bounds the requests in flight: each request occupies one slot.
type slots chan struct{}

// limit rejects requests at once while no slot is free.
func (s slots) limit(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		select {
		case s <- struct{}{}:
			defer func() { <-s }()
			return next(w, r)
		default:
			return newProblem(http.StatusTooManyRequests, "too many requests in flight; send the request again later").
				withRetryAfter(1)
		}
	}
}
