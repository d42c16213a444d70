package receiver

import (
	"net/http"
	"net/url"
	"path"

	"sessionkeeper/internal/telemetry"
)

// eventsMethods are the methods of /v1/events.
const eventsMethods = "POST, OPTIONS"

// routes returns the handler of all routes. Only routes below /v1/ need a token, and
// there OPTIONS needs none: it says nothing of events.
func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	route := func(pattern, method string, h http.Handler) {
		mux.Handle(method+" "+pattern, s.metrics.instrument(pattern, h))
		mux.Handle(pattern, s.metrics.instrument(pattern, methodNotAllowed(method)))
	}
	mux.Handle("OPTIONS /v1/events", s.metrics.instrument("/v1/events", handler(s.optionsEvents)))
	route("/v1/events", http.MethodPost, s.authorize(s.postEvents))
	route("/v1/conversations/{orgId}/{conversationIdentifier}", http.MethodGet, s.authorize(s.getConversation))
	route("/openapi.yaml", http.MethodGet, handler(getOpenAPI))
	route("/openapi.json", http.MethodGet, getOpenAPIAsJSON())
	mux.Handle("/", s.metrics.instrument("other", handler(func(http.ResponseWriter, *http.Request) error {
		return newProblem(http.StatusNotFound, "the API is described at /openapi.json")
	})))
	return telemetry.SafeHeaders(onlyCleanPaths(mux))
}

// onlyCleanPaths answers 404 where [http.ServeMux] redirects to a cleaned path: the
// redirect repeats what was sent, and a webhook may not redirect.
func onlyCleanPaths(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sent := r.URL.EscapedPath(); path.Clean(sent) != sent {
			r.URL = &url.URL{Path: "/"}
		}
		mux.ServeHTTP(w, r)
	})
}

// methodNotAllowed answers requests with any method but the one of the route.
func methodNotAllowed(method string) http.Handler {
	allow := method
	switch method {
	case http.MethodGet:
		allow = "GET, HEAD"
	case http.MethodPost:
		allow = eventsMethods
	}
	return handler(func(http.ResponseWriter, *http.Request) error {
		return newProblem(http.StatusMethodNotAllowed, "want "+allow).withHeader("Allow", allow)
	})
}
