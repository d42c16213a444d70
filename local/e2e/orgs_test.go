package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/inprocess"
	"sessionkeeper/internal/service"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
)

// orgFile is the configuration of a worker with one org in its folder, on a stack without a
// worker.
type orgFile struct {
	t             *testing.T
	s             *stack.Stack
	config, org   string
	worker        string
	settings, key string
	logs          *observer.ObservedLogs
}

func newOrgFile(t *testing.T) *orgFile {
	t.Helper()
	f := &orgFile{t: t, s: ownStack(t, stack.Options{NoWorker: true}), config: filepath.Join(t.TempDir(), "worker.yaml")}
	folder := filepath.Join(filepath.Dir(f.config), "orgs.d")
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, os.WriteFile(f.config, []byte("orgFolder: orgs.d\n"), 0o600))
	f.org, f.key = filepath.Join(folder, "demo.yaml"), filepath.Join(filepath.Dir(f.config), "key.pem")
	org := f.s.Config.Orgs[0]
	key, err := os.ReadFile(org.JWTBearer.Key.File)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(f.key, key, 0o600))
	f.settings = fmt.Sprintf("orgId: %s\napiBaseUrl: %s\njwtBearer:\n  consumerKey: %s\n  username: %s\n"+
		"  audience: %s\n  tokenUrl: %s\n  key: {file: %s}\n", org.OrgID, org.APIBaseURL, org.JWTBearer.ConsumerKey,
		org.JWTBearer.Username, org.JWTBearer.Audience, org.JWTBearer.TokenURL, f.key)
	return f
}

func (f *orgFile) write(more string) {
	f.t.Helper()
	require.NoError(f.t, os.WriteFile(f.org, []byte(f.settings+more), 0o600))
}

// startWorker starts a worker that follows the file.
func (f *orgFile) startWorker() {
	f.t.Helper()
	config, err := service.LoadConfig(f.config)
	require.NoError(f.t, err)
	core, logs := observer.New(zap.InfoLevel)
	f.logs = logs
	address, stop, err := inprocess.StartWorker(f.t.Context(), 0, service.Options{
		Config: config, ConfigFile: f.config, Temporal: f.s.Connection(), Logger: zap.New(core), Version: "e2e",
	})
	require.NoError(f.t, err)
	f.worker = address
	f.t.Cleanup(func() { require.NoError(f.t, stop()) })
}

// untilLogged waits for a line of the worker's log.
func (f *orgFile) untilLogged(message string) {
	f.t.Helper()
	until(f.t, "it logs "+message, func() bool { return f.logs.FilterMessage(message).Len() > 0 })
}

// While an org is paused, its closes wait, and an operator sees why. Afterwards all of them
// End, and a wait is no attempt.
func TestPausedOrg(t *testing.T) {
	t.Parallel()
	const closes = 30
	f := newOrgFile(t)
	f.write("paused: true\npauseReason: maintenance until six\n")
	f.startWorker()
	var talks []*talk
	for range closes {
		k := newTalk(t, f.s)
		k.start(conversation.Policy{})
		k.hangUp()
		talks = append(talks, k)
	}
	for _, k := range talks {
		until(t, "its call waits", func() bool {
			pending := k.describe().GetPendingActivities()
			return len(pending) == 1 && pending[0].GetAttempt() > 1
		})
	}
	pending := talks[0].describe().GetPendingActivities()[0]
	require.Regexp(t, `^End has not been sent: it waits for org 00D000000000001: paused \(maintenance until six\), next try 2`,
		pending.GetLastFailure().GetMessage())
	require.Equal(t, int32(2), pending.GetPriority().GetPriorityKey())
	require.Equal(t, simulator.DemoOrgID, pending.GetPriority().GetFairnessKey())
	require.Equal(t, conversation.Active, talks[0].status().Phase, "nobody has to do anything")
	require.Nil(t, talks[0].status().Failing)
	require.Regexp(t, `waiting +End has not been sent: org 00D000000000001 is paused, see starter orgs\nnext try +20`,
		succeed(t, f.s.TemporalAddress, "starter", "status", talks[0].id.WorkflowID()))
	table := succeed(t, f.s.TemporalAddress, "starter", "orgs", "-worker", f.worker)
	require.Regexp(t, `00D000000000001 +paused .* maintenance until six`, table)
	require.Empty(t, f.s.Sandbox.Journal(), "no call and no token request")

	f.write("")
	f.untilLogged("Org is ready")
	for _, k := range talks {
		outcome := k.ended()
		require.Equal(t, conversation.Closed, outcome.Why)
		require.Equal(t, 1, outcome.Attempts)
		require.Equal(t, "End", k.operations())
	}
}

// A worker starts without the key of an org, and follows its settings. What became Blocked
// because the org was in no file is tried again when it is.
func TestOrgThatIsAddedAndRepaired(t *testing.T) {
	t.Parallel()
	f := newOrgFile(t)
	f.startWorker()
	blocked := newTalk(t, f.s)
	blocked.start(conversation.Policy{})
	blocked.hangUp()
	require.Equal(t, "ORG_NOT_CONFIGURED", blocked.untilPhase(conversation.Blocked).Blocked.Reason)
	until(t, "it is found as Blocked", func() bool {
		return len(visible(t, f.s.Temporal, "SessionPhase = 'Blocked' AND ExecutionStatus = 'Running'")) == 1
	})

	key, err := os.ReadFile(f.key)
	require.NoError(t, err)
	require.NoError(t, os.Remove(f.key))
	f.write("")
	f.untilLogged("The settings of an org cannot be used, its calls wait")
	require.Contains(t, fail(t, f.s.TemporalAddress, "starter", "orgs", "-worker", f.worker), "key.pem: no such file or directory")

	require.NoError(t, os.WriteFile(f.key, key, 0o600))
	f.untilLogged("Org added")
	require.Equal(t, conversation.Closed, blocked.ended().Why)
	require.Equal(t, 1, f.logs.FilterMessage("Blocked conversations are retried").Len())
	require.Len(t, blocked.calls(), 1)
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, blocked.describe().GetWorkflowExecutionInfo().GetStatus())
}
