package receiver_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/receiver"
)

func TestWebhookHandshake(t *testing.T) {
	const origin, other = "eventgrid.azure.net", "example.com"
	for name, test := range map[string]struct {
		allowed   []string
		requested string
		status    int
		answer    string
	}{
		"allowed":             {[]string{other, origin}, origin, http.StatusOK, origin},
		"in upper case":       {[]string{origin}, "EventGrid.Azure.net", http.StatusOK, origin},
		"any":                 {[]string{receiver.AnyOrigin}, marker, http.StatusOK, "*"},
		"none by default":     {nil, origin, http.StatusForbidden, ""},
		"another":             {[]string{origin}, marker, http.StatusForbidden, ""},
		"a longer name":       {[]string{origin}, origin + "." + other, http.StatusForbidden, ""},
		"a subdomain":         {[]string{origin}, "x." + origin, http.StatusForbidden, ""},
		"a literal asterisk":  {[]string{origin}, "*", http.StatusForbidden, ""},
		"no origin requested": {[]string{origin}, "", http.StatusOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			srv := startServer(t, func(o *receiver.Options) { o.AllowedOrigins = test.allowed })
			headers := []string{"Authorization", "", "WebHook-Request-Rate", "120", "WebHook-Request-Callback", srv.url + "/callback"}
			if test.requested != "" {
				headers = append(headers, "WebHook-Request-Origin", test.requested)
			}
			got := srv.do(t, http.MethodOptions, "/v1/events", http.NoBody, headers...)
			require.Equal(t, test.status, got.status)
			require.Equal(t, "POST, OPTIONS", got.header.Get("Allow"))
			require.Equal(t, test.answer, got.header.Get("WebHook-Allowed-Origin"))
			require.Equal(t, test.answer != "", got.header.Get("WebHook-Allowed-Rate") == "*")
			require.NotContains(t, got.body, marker)
			_, metrics := srv.getMonitoring(t, "/metrics")
			require.NotContains(t, metrics, `route="other"`, "the callback is not called")
		})
	}
}

func TestWebhookHandshakeGivesNoAccess(t *testing.T) {
	srv := startServer(t, func(o *receiver.Options) { o.AllowedOrigins = []string{receiver.AnyOrigin} })
	got := srv.do(t, http.MethodPost, "/v1/events", http.NoBody, "Authorization", "", "WebHook-Request-Origin", "example.com")
	require.Equal(t, http.StatusUnauthorized, got.status)
	got = srv.do(t, http.MethodOptions, "/v1/conversations/00D000000000001/c1", http.NoBody)
	require.Equal(t, http.StatusMethodNotAllowed, got.status)
}
