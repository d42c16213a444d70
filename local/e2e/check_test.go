package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"sessionkeeper/internal/preflight"
	"sessionkeeper/internal/service"
	"sessionkeeper/local/embedded"
	"sessionkeeper/local/internal/testlog"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
)

// checked is a report as "status check" by line, with the details for failures of the test.
type checked struct {
	preflight.Report
	text string
}

func (f *orgFile) check(change func(*service.CheckOptions)) checked {
	f.t.Helper()
	o := service.CheckOptions{ConfigFile: f.config, Temporal: f.s.Connection(), Version: "e2e"}
	if change != nil {
		change(&o)
	}
	var text strings.Builder
	report := service.Check(f.t.Context(), o)
	require.NoError(f.t, report.Text(&text))
	return checked{report, text.String()}
}

// requireOnly: of all checks, only this one is not good, and it says why and what to do.
func (c checked) requireOnly(t *testing.T, status preflight.Status, check, detail, remedy string) {
	t.Helper()
	found := false
	for _, r := range c.Report {
		switch {
		case r.Check == check && r.Status == status:
			found = true
			require.Contains(t, r.Detail, detail)
			require.Contains(t, r.Remedy, remedy)
		case r.Status == preflight.Failed || r.Status == preflight.Warning:
			require.FailNow(t, "another check is not good", c.text)
		}
	}
	require.True(t, found, c.text)
}

// "worker check" says what is wrong, on a real server and the sandbox. Each case has one
// thing that is.
func TestWorkerCheck(t *testing.T) {
	t.Parallel()
	f := newOrgFile(t)
	f.write("")
	const (
		usable  = "its settings and its secret can be used"
		token   = "the token endpoint grants a token"
		answers = "the Interaction Service answers at the API base URL"
		accepts = "it accepts the token, and the user may use it"
		channel = "it knows the authorization context and the channel"
	)
	f.check(nil).requireOnly(t, preflight.Warning, "workers take tasks", "No worker polls", "Start the workers")
	f.startWorker()
	until(t, "all is good", func() bool { return f.check(nil).ExitStatus() == 0 })
	withChannel := func(context, channel string) func(*service.CheckOptions) {
		return func(o *service.CheckOptions) { o.AuthorizationContext, o.ChannelAddressIdentifier = context, channel }
	}
	good := f.check(withChannel(simulator.DemoAuthorizationContext, simulator.DemoChannelAddress))
	require.Zero(t, good.ExitStatus(), good.text)
	require.Contains(t, good.text, "√ "+channel)
	f.check(withChannel(simulator.DemoAuthorizationContext, simulator.DemoInactiveChannelAddress)).
		requireOnly(t, preflight.Failed, channel, "CHANNEL_ADDRESS_IS_INACTIVE", "activate the messaging channel")
	f.check(withChannel("Nobody", simulator.DemoChannelAddress)).requireOnly(t, preflight.Failed, accepts, "PERMISSION_DENIED", "")
	require.Contains(t, f.check(nil).text, "· "+accepts, "the sandbox refuses an authorization context that does not exist")

	for name, test := range map[string]struct {
		breaks                        func(t *testing.T)
		fault                         simulator.Fault
		options                       func(*service.CheckOptions)
		status                        preflight.Status
		check, wantDetail, wantRemedy string
	}{
		"no configuration": {
			options: func(o *service.CheckOptions) { o.ConfigFile = "no.yaml" },
			status:  preflight.Failed, check: "can be read", wantDetail: "no.yaml: no such file",
		},
		"another org": {
			options: func(o *service.CheckOptions) { o.OrgID = "00D000000000009" },
			status:  preflight.Failed, check: "has org 00D000000000009", wantRemedy: "one of the orgs",
		},
		"a file without an id": {
			breaks: func(t *testing.T) { writeBeside(t, f.org, "other.yaml", "orgId: x\n") },
			status: preflight.Failed, check: "all orgs can be used", wantDetail: "15-character id",
		},
		"a mistake in an org": {
			breaks: func(*testing.T) { f.write("callTimeout: 1h\n") },
			status: preflight.Failed, check: usable, wantDetail: "callTimeout: must be between",
		},
		"no key": {
			breaks: func(t *testing.T) { require.NoError(t, os.Rename(f.key, f.key+".away")) },
			status: preflight.Failed, check: usable, wantDetail: "key.pem: no such file",
		},
		"a key that others can read": {
			breaks: func(t *testing.T) { require.NoError(t, os.Chmod(f.key, 0o644)) },
			status: preflight.Warning, check: "only the worker can read the files with secrets",
			wantDetail: "key.pem", wantRemedy: "chmod 600 ",
		},
		"a paused org": {
			breaks: func(*testing.T) { f.write("paused: true\npauseReason: maintenance\n") },
			status: preflight.Warning, check: "it is not paused", wantDetail: "maintenance",
		},
		"no server": {
			options: func(o *service.CheckOptions) { o.Temporal.HostPort = "127.0.0.1:1" },
			status:  preflight.Failed, check: "the server answers", wantRemedy: "TEMPORAL_ADDRESS",
		},
		"no namespace": {
			options: func(o *service.CheckOptions) { o.Temporal.Namespace = "nowhere" },
			status:  preflight.Failed, check: "the namespace exists", wantRemedy: "temporal operator namespace create --namespace nowhere",
		},
		"login refused": {
			fault: simulator.Fault{
				Endpoint: simulator.TokenEndpoint, Answer: &simulator.Answer{Status: 400, Symbol: "invalid_grant", Message: "user hasn't approved"},
			},
			status: preflight.Failed, check: token, wantDetail: "invalid_grant", wantRemedy: "consumer key",
		},
		"no right": {
			options: withChannel(simulator.DemoAuthorizationContext, simulator.DemoChannelAddress),
			fault:   simulator.Fault{Answer: &simulator.Answer{ErrorReason: "PERMISSION_DENIED"}},
			status:  preflight.Failed, check: accepts, wantDetail: "PERMISSION_DENIED", wantRemedy: "Partner Messaging",
		},
		"no scope": {
			fault:  simulator.Fault{Answer: &simulator.Answer{Status: 403, Code: 10003}},
			status: preflight.Failed, check: accepts, wantDetail: "10003", wantRemedy: "interaction_api",
		},
		"token not accepted": {
			fault:  simulator.Fault{Answer: &simulator.Answer{Status: 401, Code: 10004}},
			status: preflight.Failed, check: accepts, wantRemedy: "connected app",
		},
		"another org's host": {
			fault:  simulator.Fault{Answer: &simulator.Answer{ErrorReason: "ORG_NOT_FOUND"}},
			status: preflight.Failed, check: accepts, wantDetail: "ORG_NOT_FOUND", wantRemedy: "same org",
		},
		"not Salesforce": {
			breaks: func(t *testing.T) {
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, _ = w.Write([]byte("<html>welcome</html>"))
				}))
				t.Cleanup(server.Close)
				f.writeFor(server.URL)
			},
			status: preflight.Failed, check: answers, wantRemedy: "API base URL",
		},
		"no host": {
			breaks: func(*testing.T) { f.writeFor("http://127.0.0.1:1") },
			status: preflight.Failed, check: answers, wantDetail: "refused", wantRemedy: "apiBaseUrl",
		},
		"not available": {
			fault:  simulator.Fault{Answer: &simulator.Answer{Status: 503}},
			status: preflight.Warning, check: answers, wantRemedy: "Try again later",
		},
		"rate limit": {
			fault:  simulator.Fault{Answer: &simulator.Answer{Status: 429}},
			status: preflight.Warning, check: answers, wantRemedy: "Try again later",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.breaks != nil {
				test.breaks(t)
			}
			if test.fault.Answer != nil {
				if test.fault.Endpoint == "" {
					test.fault.Endpoint = simulator.MessagingSessionEndpoint
				}
				fault, err := f.s.Sandbox.Inject(test.fault)
				require.NoError(t, err)
				defer f.s.Sandbox.RemoveFault(fault)
			}
			defer func() {
				_ = os.Rename(f.key+".away", f.key)
				require.NoError(t, os.Chmod(f.key, 0o600))
				f.write("")
			}()
			f.check(test.options).requireOnly(t, test.status, test.check, test.wantDetail, test.wantRemedy)
		})
	}
	require.Empty(t, visible(t, f.s.Temporal, "WorkflowType = 'Conversation'"))

	// The program has the same report, and an exit status.
	var report struct {
		Results preflight.Report `json:"results"`
	}
	printed := succeed(t, f.s.TemporalAddress, "worker", "check", "-config", f.config, "-json")
	require.NoError(t, json.Unmarshal([]byte(printed), &report))
	require.Zero(t, report.Results.ExitStatus())
	require.NotEmpty(t, report.Results)
	f.write("paused: true\npauseReason: maintenance\n")
	require.Equal(t, 2, run(t, f.s.TemporalAddress, "worker", "check", "-config", f.config).exit())
	f.write("callTimeout: 1h\n")
	require.Equal(t, 1, run(t, f.s.TemporalAddress, "worker", "check", "-config", f.config).exit())
}

// writeFor writes the settings with another API base URL.
func (f *orgFile) writeFor(apiBaseURL string) {
	f.t.Helper()
	text := strings.Replace(f.settings, "apiBaseUrl: "+f.s.Config.Orgs[0].APIBaseURL, "apiBaseUrl: "+apiBaseURL, 1)
	require.NoError(f.t, os.WriteFile(f.org, []byte(text), 0o600))
}

func writeBeside(t *testing.T, file, name, text string) {
	t.Helper()
	path := file[:strings.LastIndex(file, "/")+1] + name
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	t.Cleanup(func() { _ = os.Remove(path) })
}

// A namespace without the search attributes, and a version that gets no tasks.
func TestWorkerCheckOfANewServer(t *testing.T) {
	t.Parallel()
	var tail testlog.Tail
	server, err := embedded.Start(t.Context(), embedded.Options{Namespace: stack.Namespace, Logger: tail.Logger()})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	tail.ShowOnFailure(t)
	path := t.TempDir() + "/worker.yaml"
	require.NoError(t, os.WriteFile(path, []byte("orgFolder: .\ndeployment: {name: sessionkeeper, buildId: one}\n"), 0o600))
	report := service.Check(t.Context(), service.CheckOptions{
		ConfigFile: path, Temporal: client.Options{HostPort: server.FrontendAddress(), Namespace: stack.Namespace},
	})
	found := map[string]string{}
	for _, r := range report {
		found[r.Check] = fmt.Sprint(r.Status, ": ", r.Detail, r.Remedy)
	}
	require.Contains(t, found["the namespace has the search attributes"], "failed: ")
	require.Contains(t, found["the namespace has the search attributes"], "temporal operator search-attribute create")
	require.Contains(t, found["this version gets tasks"], "warning: ")
	require.Contains(t, found["this version gets tasks"],
		`set-current-version --deployment-name "sessionkeeper" --build-id "one"`)
	require.Contains(t, found["this machine's clock is Temporal's"], "ok: they differ by ")
}
