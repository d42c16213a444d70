package service

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/telemetry"
)

const (
	endUser        = "+49 170 1234567"
	conversationID = "c-7c1d"
)

// running is a worker that is connected to a frontend.
type running struct {
	*frontend
	url  string
	stop func() error
}

func run(t *testing.T, config Config) *running {
	t.Helper()
	f := newFrontend()
	f.serve(t, "127.0.0.1:0")
	config.setDefaults()
	ctx, cancel := context.WithCancel(t.Context())
	started, ended := make(chan string, 1), make(chan error, 1)
	o := Options{
		Config: config, Temporal: f.options(), Listen: "127.0.0.1:0", Logger: zap.NewNop(), Version: "1.2.3",
		Started: func(address string) { started <- address },
	}
	go func() { ended <- Run(ctx, o) }()
	t.Cleanup(cancel)
	select {
	case address := <-started:
		return &running{frontend: f, url: "http://" + address, stop: func() error { cancel(); return <-ended }}
	case err := <-ended:
		t.Fatalf("worker did not start: %v", err)
		return nil
	}
}

// endTask returns an activity task that ends a session.
func endTask(t *testing.T, orgID string) *workflowservice.PollActivityTaskQueueResponse {
	t.Helper()
	input, err := converter.GetDefaultDataConverter().ToPayloads(activities.Request{
		Identity: conversation.Identity{
			OrgID: orgID, AuthorizationContext: "Partner1_ChannelDefinition1", ConversationIdentifier: conversationID,
			ChannelAddressIdentifier: "8f5d1c1e-2f0a-4c58-9a34-6b1c0d2e7f01", EndUserClientID: endUser,
			SessionID: "0Mw000000000001AAA",
		},
		By: conversation.EndUser,
	})
	require.NoError(t, err)
	r := &workflowservice.PollActivityTaskQueueResponse{}
	now := time.Now().UTC().Format(time.RFC3339)
	require.NoError(t, temporalproto.CustomJSONUnmarshalOptions{}.Unmarshal([]byte(`{
		"taskToken": "dG9rZW4=", "workflowNamespace": "default", "workflowType": {"name": "Conversation"},
		"workflowExecution": {"workflowId": "`+orgID+`:`+conversationID+`", "runId": "run"},
		"activityId": "1", "activityType": {"name": "End"}, "attempt": 1,
		"scheduledTime": "`+now+`", "startedTime": "`+now+`", "currentAttemptScheduledTime": "`+now+`",
		"scheduleToCloseTimeout": "3600s", "startToCloseTimeout": "60s", "heartbeatTimeout": "0s"
	}`), r))
	r.Input = input
	return r
}

func TestRunIsReadyAndStopsGracefully(t *testing.T) {
	r := run(t, Config{})
	code, body := get(t, r.url+"/readyz")
	require.Equal(t, http.StatusOK, code, body)
	require.Equal(t, "sessionkeeper", (<-r.polls).TaskQueue.Name)
	require.NoError(t, r.stop())
	require.NotEmpty(t, r.shutdowns, "Temporal must know, so that other workers get the tasks at once")
	require.ErrorContains(t, telemetry.CheckReady(t.Context(), strings.TrimPrefix(r.url, "http://")), "no answer")
}

func TestRunCanStopWhileTemporalIsUnavailable(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	logger, logs := observedLogger(func(e zapcore.Entry) {
		if e.Message == "Waiting for Temporal" {
			cancel()
		}
	})
	f := frontend{address: unusedAddress(t)}
	require.NoError(t, Run(ctx, Options{Temporal: f.options(), Listen: "127.0.0.1:0", Logger: logger}))
	require.Equal(t, 1, logs.FilterMessage("Worker stopped before it was connected to Temporal").Len())
}

func TestRunFailsWhenTheWorkerCannotStart(t *testing.T) {
	f := newFrontend()
	f.describeError = serviceerror.NewNamespaceNotFound("default")
	f.serve(t, "127.0.0.1:0")
	err := Run(t.Context(), Options{Temporal: f.options(), Listen: "127.0.0.1:0", Logger: zap.NewNop()})
	require.ErrorContains(t, err, "start worker: ")
	require.ErrorContains(t, err, "Namespace default is not found")
}

func TestMetricsOfACallHaveNoPersonalData(t *testing.T) {
	r := run(t, Config{})
	r.tasks <- endTask(t, "00D000000000009")
	require.Equal(t, "ORG_NOT_CONFIGURED", (<-r.failed).GetFailure().GetApplicationFailureInfo().GetType())

	var text string
	require.Eventually(t, func() bool {
		_, text = get(t, r.url+"/metrics")
		return strings.Contains(text, "\ntemporal_activity_execution_latency_seconds_bucket")
	}, 10*time.Second, 10*time.Millisecond)
	require.Regexp(t, `(?m)^sessionkeeper_calls_total\{[^}]*operation="End",reason="ORG_NOT_CONFIGURED",`+
		`task_queue="sessionkeeper",verdict="operator"[^}]*\} 1$`, text)
	require.Contains(t, text, `sessionkeeper_build_info{version="1.2.3"} 1`)
	require.Regexp(t, `temporal_activity_execution_latency_seconds_bucket\{[^}]*le="0.005"\}`, text)
	require.Contains(t, text, "\ngo_goroutines ")
	require.Contains(t, text, "\nprocess_resident_memory_bytes ")

	for _, personal := range []string{endUser, conversationID, "00D000000000009", "0Mw000000000001AAA", "8f5d1c1e"} {
		require.NotContains(t, text, personal)
	}
	known := []string{
		"activity_type", "cause", "client_name", "code", "failure_reason", "goversion", "gc", "le", "namespace", "operation",
		"poller_type",
		"quantile", "reason", "status_code", "task_queue", "verdict", "version", "worker_type", "workflow_type",
	}
	for _, label := range regexp.MustCompile(`[{,](\w+)="`).FindAllStringSubmatch(text, -1) {
		require.Contains(t, known, label[1], "new label: check that it has few values and no data of a conversation")
	}
	require.NoError(t, r.stop())
}

func TestWorkerPollsWithItsDeploymentVersion(t *testing.T) {
	var none *Deployment
	require.Zero(t, none.options("1.2.3"))
	require.Equal(t, worker.DeploymentOptions{
		UseVersioning:             true,
		Version:                   worker.WorkerDeploymentVersion{DeploymentName: "sessionkeeper", BuildID: "1.2.3"},
		DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
	}, (&Deployment{Name: "sessionkeeper"}).options("1.2.3"))
	require.Equal(t, "9", (&Deployment{Name: "sessionkeeper", BuildID: "9"}).options("1.2.3").Version.BuildID)

	r := run(t, Config{Deployment: &Deployment{Name: "sessionkeeper"}})
	polled := (<-r.polls).GetDeploymentOptions()
	require.Equal(t, "sessionkeeper", polled.GetDeploymentName())
	require.Equal(t, "1.2.3", polled.GetBuildId())
	require.Equal(t, enumspb.WORKER_VERSIONING_MODE_VERSIONED, polled.GetWorkerVersioningMode())
	require.NoError(t, r.stop())
}
