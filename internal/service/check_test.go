package service

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/preflight"
)

// loginAt is an org whose token endpoint has another clock, and grants these scopes.
func loginAt(t *testing.T, ahead time.Duration, scope string) Org {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			_, _ = w.Write([]byte(`{"success":false,"errorReason":"SESSION_NOT_FOUND"}`))
			return
		}
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		_, _ = w.Write([]byte(`{"access_token":"secret-token","token_type":"Bearer","scope":"` + scope + `"}`))
	}))
	t.Cleanup(server.Close)
	t.Setenv("CHECKED_SECRET", "secret-of-the-app")
	org := Org{
		OrgID: id(1), APIBaseURL: server.URL,
		ClientCredentials: &ClientCredentials{ConsumerKey: "key", TokenURL: server.URL, Secret: Secret{Env: "CHECKED_SECRET"}},
	}
	org.setDefaults()
	return org
}

func TestCheckOfALogin(t *testing.T) {
	for name, test := range map[string]struct {
		ahead  time.Duration
		scope  string
		status preflight.Status
		check  string
	}{
		"good":         {0, "interaction_api refresh_token", preflight.OK, hasScope},
		"good clock":   {10 * time.Second, "interaction_api", preflight.OK, loginClock},
		"no scope":     {0, "api web", preflight.Failed, hasScope},
		"clock behind": {-time.Minute, "interaction_api", preflight.Warning, loginClock},
		"clock ahead":  {time.Hour, "interaction_api", preflight.Warning, loginClock},
		"answers":      {0, "interaction_api", preflight.OK, acceptsToken},
	} {
		t.Run(name, func(t *testing.T) {
			report := checkOrg(t.Context(), CheckOptions{Version: "1"}, loginAt(t, test.ahead, test.scope))
			var text strings.Builder
			require.NoError(t, report.Text(&text))
			found := preflight.Status("")
			for _, r := range report {
				if r.Check == test.check {
					found = r.Status
				}
			}
			require.Equal(t, test.status, found, text.String())
			require.NotContains(t, text.String(), "secret-")
		})
	}
}

// Hundreds of orgs are checked a few at a time, and reported in their order.
func TestCheckOfManyOrgs(t *testing.T) {
	var orgs []Org
	for range 3 * orgsAtOnce {
		orgs = append(orgs, loginAt(t, 0, "interaction_api"))
	}
	for i := range orgs {
		orgs[i].OrgID = id(1)[:13] + string(rune('A'+i/10)) + string(rune('0'+i%10))
	}
	report := checkOrgs(t.Context(), CheckOptions{}, orgs)
	require.Zero(t, report.ExitStatus())
	last := ""
	for _, r := range report {
		require.GreaterOrEqual(t, r.Group, last)
		last = r.Group
	}
}

func TestCheckOfTemporalsClock(t *testing.T) {
	for skew, want := range map[time.Duration]preflight.Status{
		0: preflight.OK, 900 * time.Millisecond: preflight.OK, 2 * time.Second: preflight.Warning, -2 * time.Second: preflight.Warning,
	} {
		var c checks
		c.serverClock(skew, nil)
		require.Equal(t, want, c.report[0].Status, skew)
	}
	var c checks
	c.serverClock(0, os.ErrDeadlineExceeded)
	require.Equal(t, preflight.Note, c.report[0].Status)
}
