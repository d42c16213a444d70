package receiver_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Knative and other clients of CloudEvents take a 202 with any body for a failure.
func TestAcceptedHasBodyOnlyIfClientAsksForJSON(t *testing.T) {
	srv := startServer(t)
	for accept, asks := range map[string]bool{
		"":                                   false,
		"*/*":                                false,
		"application/*":                      false,
		"text/html, */*;q=0.8":               false,
		"application/cloudevents+json":       false,
		"application/cloudevents-batch+json": false,
		"application/json;q=0":               false,
		"application/json;q=0.0, application/problem+json": false,
		"application/json;q=x":                             false,
		"image/svg+json":                                   false,
		"text":                                             false,
		"application/json":                                 true,
		"Application/JSON; charset=utf-8":                  true,
		"*/*, application/json;q=0.1":                      true,
		"application/vnd.x+json":                           true,
	} {
		for mediaType, body := range map[string]string{structuredType: message("c1"), batchType: batch(message("c1"))} {
			got := srv.do(t, http.MethodPost, "/v1/events", strings.NewReader(body), "Content-Type", mediaType, "Accept", accept)
			require.Equal(t, http.StatusAccepted, got.status)
			require.Equal(t, asks, got.body != "", accept)
			require.Equal(t, asks, got.header.Get("Content-Type") != "", accept)
		}
		got := srv.do(t, http.MethodPost, "/v1/events", strings.NewReader("{}"), "Content-Type", structuredType, "Accept", accept)
		require.NotEmpty(t, got.problem(t).Errors, "an error has a body")
	}
}
