package service

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"sessionkeeper/internal/gate"
	"sessionkeeper/internal/orgstatus"
	"sessionkeeper/internal/telemetry"
)

// folder is a configuration with a folder of orgs.
type folder struct {
	*Orgs
	t    *testing.T
	path string
	logs *observer.ObservedLogs
}

// newFolder has the orgs 1 and 2, each with a file of its secret.
func newFolder(t *testing.T) *folder {
	t.Helper()
	f := &folder{t: t, path: filepath.Join(t.TempDir(), "worker.yaml")}
	require.NoError(t, os.Mkdir(filepath.Join(filepath.Dir(f.path), "orgs.d"), 0o700))
	f.write("worker.yaml", "orgFolder: orgs.d\n")
	for n := range 2 {
		f.writeOrg(n+1, "")
		f.write(fmt.Sprintf("secret%d", n+1), "first")
	}
	core, logs := observer.New(zapcore.InfoLevel)
	f.logs = logs
	config, err := LoadConfig(f.path)
	require.NoError(t, err)
	f.Orgs = NewOrgs(config, "1.2.3", zap.New(core))
	return f
}

func (f *folder) file(name string) string { return filepath.Join(filepath.Dir(f.path), name) }

func (f *folder) write(name, text string) {
	f.t.Helper()
	require.NoError(f.t, os.WriteFile(f.file(name), []byte(text), 0o600))
}

func id(n int) string { return fmt.Sprintf("00D00000000000%d", n) }

func (f *folder) writeOrg(n int, settings string) {
	f.t.Helper()
	f.write(fmt.Sprintf("orgs.d/%d.yaml", n), fmt.Sprintf(`orgId: %s
apiBaseUrl: https://org%d.my.salesforce-scrt.com
clientCredentials:
  consumerKey: key
  tokenUrl: https://org%d.my.salesforce.com/services/oauth2/token
  secret: {file: %s}
%s`, id(n), n, n, f.file(fmt.Sprintf("secret%d", n)), settings))
}

// change is what the worker does when it reads a configuration that has changed. It returns
// the new logins and what was logged.
func (f *folder) change() (logins, logged []string) {
	f.t.Helper()
	f.logs.TakeAll()
	require.Empty(f.t, f.reload(f.path), "a change counts when it was read twice")
	logins = f.reload(f.path)
	require.Empty(f.t, f.reload(f.path))
	for _, entry := range f.logs.TakeAll() {
		logged = append(logged, entry.Message)
	}
	return logins, logged
}

func (f *folder) status(n int) orgstatus.Org {
	f.t.Helper()
	for _, s := range f.list().Orgs {
		if s.OrgID == id(n) {
			return s
		}
	}
	return orgstatus.Org{}
}

func (f *folder) list() (list orgstatus.List) {
	f.t.Helper()
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequestWithContext(f.t.Context(), "GET", "/orgs", nil))
	require.NoError(f.t, json.Unmarshal(w.Body.Bytes(), &list))
	return list
}

func TestOrgsFollowTheConfiguration(t *testing.T) {
	f := newFolder(t)
	require.Len(t, f.list().Orgs, 2)
	first, ok := f.Org(id(1))
	require.True(t, ok)

	f.write("secret3", "first")
	f.writeOrg(3, "")
	logins, logged := f.change()
	require.Contains(t, logins, id(3))
	require.Len(t, logins, 1)
	require.Equal(t, []string{"Org added"}, logged)

	f.write("secret1", "second")
	logins, logged = f.change()
	require.Contains(t, logins, id(1))
	require.Equal(t, []string{"Org has a new login"}, logged)
	rotated, _ := f.Org(id(1))
	require.NotSame(t, first.API, rotated.API)
	require.Same(t, first.Gate, rotated.Gate, "what is known of the org stays")

	f.writeOrg(2, "paused: true\npauseReason: maintenance\n")
	logins, logged = f.change()
	require.Empty(t, logins)
	require.Equal(t, []string{"Org is paused", "Org has new limits"}, logged)
	require.Equal(t, gate.Paused, f.status(2).State)
	require.Equal(t, "maintenance", f.status(2).Reason)
	f.writeOrg(2, "")
	_, logged = f.change()
	require.Equal(t, []string{"Org is ready", "Org has new limits"}, logged)

	require.NoError(t, os.Remove(f.file("orgs.d/2.yaml")))
	logins, logged = f.change()
	require.Empty(t, logins)
	require.Equal(t, []string{"Org removed"}, logged)
	_, ok = f.Org(id(2))
	require.False(t, ok)
}

// Settings that cannot be used leave the last good ones in use, and are visible.
func TestSettingsThatCannotBeUsed(t *testing.T) {
	for name, test := range map[string]struct {
		breaks      func(f *folder)
		want, about string
	}{
		"not YAML": {func(f *folder) { f.write("orgs.d/1.yaml", "orgId: [") }, "is not valid YAML", "problems"},
		"a field":  {func(f *folder) { f.writeOrg(1, "colour: red\n") }, "line 7: unknown field colour", "org"},
		"a value":  {func(f *folder) { f.writeOrg(1, "callTimeout: 1h\n") }, "line 7: callTimeout: must be between", "org"},
		"no secret": {
			func(f *folder) { require.NoError(f.t, os.Remove(f.file("secret1"))) }, "secret1: no such file or directory", "org",
		},
		"empty secret": {func(f *folder) { f.write("secret1", " ") }, "secret1 is empty", "org"},
		"another org's id": {
			func(f *folder) {
				text, err := os.ReadFile(f.file("orgs.d/1.yaml"))
				require.NoError(f.t, err)
				f.write("orgs.d/0.yaml", string(text)+"callsInFlight: 7\n")
			}, "org 00D000000000001 is configured twice", "org",
		},
		"an empty folder": {
			func(f *folder) {
				for _, name := range []string{"orgs.d/1.yaml", "orgs.d/2.yaml"} {
					require.NoError(f.t, os.Remove(f.file(name)))
				}
			}, "orgFolder has no file any more", "problems",
		},
		"the configuration": {func(f *folder) { f.write("worker.yaml", "orgFolder: nowhere\n") }, "nowhere: no such file", "problems"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			good, _ := f.Org(id(1))
			test.breaks(f)
			logins, logged := f.change()
			require.Empty(t, logins)
			require.Len(t, logged, 1)
			require.Contains(t, logged[0], "not taken")
			used, ok := f.Org(id(1))
			require.True(t, ok)
			require.Same(t, good.API, used.API)
			require.Equal(t, gate.Ready, f.status(1).State)
			if test.about == "org" {
				require.Contains(t, f.status(1).Problem, test.want)
			} else {
				require.Contains(t, strings.Join(f.list().Problems, "\n"), test.want)
			}
			require.Positive(t, f.countProblems())
			ready := readiness{orgs: f.Orgs}
			front := newFrontend()
			front.serve(t, "127.0.0.1:0")
			ready.started(front.connect(t), nil)
			degraded, err := ready.check(t.Context())
			require.NoError(t, err)
			require.Equal(t, "settings that cannot be used: 1, see /orgs", degraded)

			f.write("worker.yaml", "orgFolder: orgs.d\n")
			f.write("secret1", "first")
			f.writeOrg(1, "")
			f.writeOrg(2, "")
			_ = os.Remove(f.file("orgs.d/0.yaml"))
			f.change()
			require.Zero(t, f.countProblems())
			require.Empty(t, f.status(1).Problem)
		})
	}
}

// A worker starts with the orgs that are good. The calls of the others wait.
func TestWorkerStartsWithTheOrgsThatAreGood(t *testing.T) {
	f := newFolder(t)
	f.write("secret1", "")
	config, err := LoadConfig(f.path)
	require.NoError(t, err)
	_, err = CheckConfig(f.path)
	require.ErrorContains(t, err, "secret1 is empty")
	f.Orgs = NewOrgs(config, "1.2.3", f.logger)
	require.Equal(t, gate.Ready, f.status(2).State)
	require.Equal(t, gate.Paused, f.status(1).State)
	require.Equal(t, notUsable, f.status(1).Reason)
	broken, ok := f.Org(id(1))
	require.True(t, ok)
	_, wait := broken.Gate.Enter(gate.Call{})
	require.NotNil(t, wait)

	f.write("secret1", "repaired")
	logins, _ := f.change()
	require.Contains(t, logins, id(1))
	require.Equal(t, gate.Ready, f.status(1).State)
	repaired, _ := f.Org(id(1))
	require.NotNil(t, repaired.API)
}

// A pause needs no secret.
func TestPauseOfAnOrgWithoutItsSecret(t *testing.T) {
	f := newFolder(t)
	require.NoError(t, os.Remove(f.file("secret1")))
	f.change()
	f.writeOrg(1, "paused: true\npauseReason: a new secret\n")
	logins, logged := f.change()
	require.Empty(t, logins)
	require.Equal(t, []string{"Org is paused", "Org has new limits"}, logged)
	require.Equal(t, "a new secret", f.status(1).Reason)
	require.Contains(t, f.status(1).Problem, "secret1: no such file")

	f.writeOrg(1, "paused: true\npauseReason: a new secret\ncallTimeout: 1h\n")
	f.change()
	f.writeOrg(1, "callTimeout: 1h\n")
	f.change()
	require.Equal(t, gate.Paused, f.status(1).State, "nobody knows what settings with a mistake mean")
	f.writeOrg(1, "")
	f.change()
	require.Equal(t, gate.Ready, f.status(1).State)
	require.Contains(t, f.status(1).Problem, "secret1: no such file")
}

// Other settings than the login need another client, and retry nothing.
func TestNewSettingsAreNoNewLogin(t *testing.T) {
	f := newFolder(t)
	before, _ := f.Org(id(1))
	f.writeOrg(1, "callTimeout: 2s\n")
	logins, logged := f.change()
	require.Empty(t, logins)
	require.Equal(t, []string{"Org has new settings"}, logged)
	after, _ := f.Org(id(1))
	require.NotSame(t, before.API, after.API)
}

// A mistake in one place of the configuration does not hold up what is said elsewhere.
func TestMistakesElsewhere(t *testing.T) {
	inFile := func(f *folder, n int, settings string) string {
		f.t.Helper()
		f.write(fmt.Sprintf("secret%d", n), "first")
		f.writeOrg(n, settings)
		text, err := os.ReadFile(f.file(fmt.Sprintf("orgs.d/%d.yaml", n)))
		require.NoError(f.t, err)
		require.NoError(f.t, os.Remove(f.file(fmt.Sprintf("orgs.d/%d.yaml", n))))
		return "  - " + strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n    ") + "\n"
	}
	for name, test := range map[string]struct {
		mistake func(f *folder) string // returns an org of the file
		problem string
	}{
		"a value": {
			func(f *folder) string { return inFile(f, 3, "callTimeout: 1h\n") }, "orgs[0].callTimeout: must be between",
		},
		"an id": {
			func(f *folder) string { return strings.ReplaceAll(inFile(f, 3, ""), id(3), "3") },
			"orgs[0].orgId: want the org's 15-character id",
		},
		"no secret": {
			func(f *folder) string { text := inFile(f, 3, ""); f.write("secret3", ""); return text }, "secret3 is empty",
		},
		"an empty folder": {
			func(f *folder) string {
				require.NoError(f.t, os.Remove(f.file("orgs.d/1.yaml")))
				require.NoError(f.t, os.Remove(f.file("orgs.d/2.yaml")))
				return ""
			}, "orgFolder has no file any more",
		},
		"another name": {
			func(f *folder) string {
				require.NoError(f.t, os.Rename(f.file("orgs.d/1.yaml"), f.file("orgs.d/1.yml")))
				return ""
			}, "1.yml: name the file .yaml, or it is not read",
		},
		"moved and broken": {
			func(f *folder) string {
				require.NoError(f.t, os.Remove(f.file("orgs.d/1.yaml")))
				f.write("orgs.d/one.yaml", "orgId: [")
				return ""
			}, "one.yaml:\n  the file is not valid YAML",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			f.write("orgs.d/.1.yaml.swp", "not yaml: [")
			f.write("orgs.d/.draft.yaml", "not yaml: [")
			_, logged := f.change()
			require.Empty(t, logged)
			mistaken := test.mistake(f)
			f.write("worker.yaml", "orgFolder: orgs.d\norgs:\n"+mistaken+inFile(f, 4, ""))
			logins, _ := f.change()
			require.Equal(t, []string{id(4)}, logins)
			list := f.list()
			require.Equal(t, 1, f.countProblems())
			require.Contains(t, strings.Join(append(list.Problems, f.status(3).Problem), "\n"), test.problem)
			for _, n := range []int{1, 2, 4} {
				require.Equal(t, gate.Ready, f.status(n).State)
			}
			_, err := CheckConfig(f.path)
			if name != "an empty folder" {
				require.Error(t, err)
			}
		})
	}
}

func TestMetricsOfOrgs(t *testing.T) {
	f := newFolder(t)
	registry := prometheus.NewRegistry()
	registry.MustRegister(f.Orgs)
	ready := readiness{orgs: f.Orgs}
	w := httptest.NewRecorder()
	telemetry.Handler(registry, ready.check).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	for _, line := range []string{
		`sessionkeeper_org_calls_in_flight{org="00D000000000002"} 0`,
		`sessionkeeper_org_pace{org="00D000000000001"} 10`,
		`sessionkeeper_org_state{org="00D000000000001",state="ready"} 1`,
		`sessionkeeper_settings_not_used 0`,
	} {
		require.Contains(t, w.Body.String(), "\n"+line+"\n")
	}
}
