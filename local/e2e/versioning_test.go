package e2e_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"sessionkeeper/conversation"
	"sessionkeeper/local/stack"
)

// deployment is a Worker Deployment whose versions are worker processes.
type deployment struct {
	t      *testing.T
	s      *stack.Stack
	config string
}

const deploymentName = "sessionkeeper"

// start starts a worker of a version, named as Temporal's Worker Controller does.
func (d *deployment) start(version string) (w *program, url string) {
	d.t.Helper()
	listen := freeAddress(d.t)
	env := []string{"TEMPORAL_DEPLOYMENT_NAME=" + deploymentName, "TEMPORAL_WORKER_BUILD_ID=" + version}
	w = runIn(d.t, env, d.s.TemporalAddress, "worker", "-config", d.config, "-listen", listen)
	w.waitForStderr("Worker started")
	return w, "http://" + listen
}

// makeCurrent gives a version all tasks.
func (d *deployment) makeCurrent(version string) {
	d.t.Helper()
	handle := d.s.Temporal.WorkerDeploymentClient().GetHandle(deploymentName)
	until(d.t, "the version can be made current", func() bool {
		_, err := handle.SetCurrentVersion(d.t.Context(), client.WorkerDeploymentSetCurrentVersionOptions{
			BuildID: version, IgnoreMissingTaskQueues: true,
		})
		return err == nil
	})
}

// versionOf is the version that has done the last workflow task of a conversation.
func (k *talk) versionOf() (version string) {
	k.t.Helper()
	for _, event := range k.history("") {
		if event.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			version = event.GetWorkflowTaskCompletedEventAttributes().GetDeploymentVersion().GetBuildId()
		}
	}
	return version
}

// untilOn sends messages until a version has got one: a change of the current version takes
// a moment.
func (k *talk) untilOn(version string) {
	k.t.Helper()
	until(k.t, "version "+version+" has the conversation", func() bool {
		k.message()
		return k.versionOf() == version
	})
}

// A new version gets no tasks, says so, and is ready all the same. When it is made current,
// open conversations move to it. So they do when the old version is made current again.
func TestRollingUpgradeAndRollback(t *testing.T) {
	t.Parallel()
	s := ownStack(t, stack.Options{NoWorker: true})
	d := &deployment{t, s, writeConfig(t, s)}
	noTasks := "this worker's version gets no tasks: temporal worker deployment set-current-version " +
		`--deployment-name "sessionkeeper" --build-id `

	one, urlOfOne := d.start("one")
	one.waitForStderr("This worker's version gets no tasks")
	require.Equal(t, "ready, degraded: "+noTasks+"\"one\"\n", get(t, urlOfOne+"/readyz"))
	require.Contains(t, get(t, urlOfOne+"/metrics"), "\nsessionkeeper_version_without_tasks 1\n")
	d.makeCurrent("one")
	one.waitForStderr("This worker's version gets tasks")
	require.Equal(t, "ready\n", get(t, urlOfOne+"/readyz"))
	require.Contains(t, get(t, urlOfOne+"/metrics"), "\nsessionkeeper_version_without_tasks 0\n")
	staying, closing := newTalk(t, s), newTalk(t, s)
	for _, k := range []*talk{staying, closing} {
		k.start(conversation.Policy{})
		k.untilPhase(conversation.Active)
		require.Equal(t, "one", k.versionOf())
	}

	two, urlOfTwo := d.start("two")
	two.waitForStderr("This worker's version gets no tasks")
	require.Equal(t, "ready, degraded: "+noTasks+"\"two\"\n", get(t, urlOfTwo+"/readyz"))
	d.makeCurrent("two")
	one.waitForStderr(`"buildId":"one","remedy"`)
	require.NoError(t, one.cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, one.exit())
	closing.hangUp()
	require.Equal(t, conversation.Closed, closing.ended().Why)
	require.Equal(t, "two", closing.versionOf())
	staying.untilOn("two")

	d.start("one")
	d.makeCurrent("one")
	staying.untilOn("one")
	staying.hangUp()
	require.Equal(t, conversation.Closed, staying.ended().Why)
	require.Equal(t, "one", staying.versionOf())
	require.NotContains(t, two.errs.String(), "nondeterministic", "no version fails on the other's history")
	require.Equal(t, "End", strings.Join(strings.Fields(staying.operations()), " "))
}
