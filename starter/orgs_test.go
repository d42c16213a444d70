package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOrgs(t *testing.T) {
	answer := `{"orgs": [
		{"orgId": "00D000000000001", "state": "ready", "since": "2026-11-27T10:00:00Z", "inFlight": 3, "pace": 17.25},
		{"orgId": "00D000000000002", "state": "paused", "reason": "maintenance\n until six", "since": "2026-11-27T10:00:00Z", "pace": 10}
	]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/orgs" {
			t.Errorf("request for %s", r.URL.Path)
		}
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	worker := strings.TrimPrefix(server.URL, "http://")

	out, err := starter(t, nil, "orgs", "-worker", worker)
	require.NoError(t, err)
	require.Contains(t, out, "WORKER")
	require.Regexp(t, worker+` +00D000000000001 +ready +2026-11-27T10:00:00Z +3 +17.2/s`, out)
	require.Regexp(t, `00D000000000002 +paused +2026-11-27T10:00:00Z +0 +10/s +maintenance until six\n`, out)

	out, err = starter(t, nil, "orgs", "-worker", worker, "-not-ready")
	require.NoError(t, err)
	require.NotContains(t, out, "00D000000000001")
	require.Contains(t, out, "00D000000000002")

	answer = `{"orgs": [{"orgId": "00D000000000001", "state": "ready", "problem": "secret is empty"}], "problems": ["orgs.d/x.yaml: no"]}`
	_, err = starter(t, nil, "orgs", "-worker", worker)
	require.EqualError(t, err, "worker "+worker+": secret is empty\nworker "+worker+": orgs.d/x.yaml: no")

	answer = `[`
	_, err = starter(t, nil, "orgs", "-worker", worker)
	require.ErrorContains(t, err, "worker "+worker+": read the answer of /orgs: ")
	server.Close()
	_, err = starter(t, nil, "orgs", "-worker", worker, "-json")
	require.ErrorContains(t, err, "worker "+worker+": ")
}
