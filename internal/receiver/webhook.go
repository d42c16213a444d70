package receiver

import (
	"net/http"
	"slices"
	"strings"
)

// AnyOrigin allows every origin in [Options].AllowedOrigins.
const AnyOrigin = "*"

// optionsEvents answers OPTIONS: which methods there are, and the validation request
// of the CloudEvents specification "HTTP Webhook". Consent is only the header
// WebHook-Allowed-Origin. A callback URL is ignored: the server sends no request to
// an address that a client names.
func (s *server) optionsEvents(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Allow", eventsMethods)
	requested := r.Header.Values("WebHook-Request-Origin")
	if len(requested) > 0 {
		allowed := s.allowedOrigin(requested)
		if allowed == "" {
			return newProblem(http.StatusForbidden, "this origin may not send events; see -allowed-origins")
		}
		w.Header().Set("WebHook-Allowed-Origin", allowed)
		// 429 answers a rate that is too high, so no rate is agreed on.
		w.Header().Set("WebHook-Allowed-Rate", "*")
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return nil
}

// allowedOrigin returns the configured origin that allows the requested one, empty if
// none does.
func (s *server) allowedOrigin(requested []string) string {
	if slices.Contains(s.allowedOrigins, AnyOrigin) {
		return AnyOrigin
	}
	for _, allowed := range s.allowedOrigins {
		if len(requested) == 1 && strings.EqualFold(allowed, requested[0]) {
			return allowed
		}
	}
	return ""
}
