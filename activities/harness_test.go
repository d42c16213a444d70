package activities_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/gate"
	"sessionkeeper/internal/interaction"
	"sessionkeeper/sandbox/simulator"
)

const (
	orgID        = "00D000000000001"
	channel      = "8f5d1c1e-2f0a-4c58-9a34-6b1c0d2e7f01"
	endUser      = "+49 170 1234567"
	clientSecret = "shhh-client-secret"
	sessionID    = "0Mw000000000001AAA"
	apiPath      = "/api/v1/messagingSession"
	tokenPath    = "/services/oauth2/token"
	activityID   = "call-1"
	workflowID   = orgID + ":conv-1"
)

var operations = []conversation.Operation{conversation.Inactivate, conversation.End}

// lab runs the activities with the real client against the simulator. The handler
// api, if set, answers instead of the simulator.
type lab struct {
	*simulator.Simulator
	t      *testing.T
	server *httptest.Server
	client *interaction.Client
	do     *activities.Activities
	api    http.HandlerFunc
}

func newLab(t *testing.T, timeout time.Duration) *lab {
	t.Helper()
	sim, err := simulator.New(simulator.Config{Orgs: []simulator.Org{{
		OrgID: orgID, ConsumerKey: "key", ClientSecret: clientSecret,
		ChannelDefinitions: []string{"Partner1"}, ChannelAddresses: []simulator.ChannelAddress{{ID: channel}},
	}}})
	require.NoError(t, err)
	l := &lab{Simulator: sim, t: t}
	l.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l.api != nil && r.URL.Path == apiPath {
			l.api(w, r)
			return
		}
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(l.server.Close)
	tokens, err := interaction.NewClientCredentials(interaction.ClientCredentialsConfig{
		ClientID: "key", ClientSecret: clientSecret, TokenURL: l.server.URL + tokenPath, Timeout: timeout,
	})
	require.NoError(t, err)
	client, err := interaction.NewClient(l.server.URL, tokens, interaction.ClientOptions{Timeout: timeout})
	require.NoError(t, err)
	l.client, l.do = client, newActivities(client)
	_, err = sim.CreateSession(orgID, simulator.Session{
		ID: sessionID, ConversationIdentifier: "conv-1", ChannelAddressIdentifier: channel,
		EndUserClientID: endUser, Status: simulator.StatusActive,
	})
	require.NoError(t, err)
	return l
}

func (l *lab) inject(faults ...simulator.Fault) {
	l.t.Helper()
	for _, f := range faults {
		_, err := l.Inject(f)
		require.NoError(l.t, err)
	}
}

// apiCalls are the requests of the Interaction Service, in order.
func (l *lab) apiCalls() []simulator.Entry { return l.requests(apiPath) }

// requests are the requests with this path, in order.
func (l *lab) requests(path string) []simulator.Entry {
	var calls []simulator.Entry
	for _, e := range l.Journal() {
		if e.Path == path {
			calls = append(calls, e)
		}
	}
	return calls
}

// request is for a session that is older than startRace.
func request() activities.Request {
	return activities.Request{
		Identity: conversation.Identity{
			OrgID: orgID, AuthorizationContext: "Partner1", ChannelAddressIdentifier: channel,
			EndUserClientID: endUser, ConversationIdentifier: "conv-1", SessionID: sessionID,
		},
		By:         conversation.System,
		KnownSince: time.Now().Add(-time.Hour),
	}
}

// progress is the content of the heartbeat details.
type progress struct {
	Capped       int       `json:"capped"`
	FailingSince time.Time `json:"failingSince,omitzero"`
	Signalled    bool      `json:"signalled"`
	Waits        int       `json:"waits"`
	Turn         time.Time `json:"turn,omitzero"`
}

// result is the result of one attempt, or of all attempts of a call.
type result struct {
	answer    conversation.Answer
	failure   *temporal.ApplicationError // nil for a success
	heartbeat *progress                  // the last one, nil if none was sent
	began     []time.Duration            // when each attempt began, after the first one
	signals   []conversation.CallFailing
	log       []string // levels and messages
}

// surroundings are what the SDK's test environment does not have: Temporal's clock, and
// a receiver of signals. They record what an activity sends.
type surroundings struct {
	interceptor.WorkerInterceptorBase
	now func() time.Time
	// workflowType and workflowID are of the workflow that asks for the call. Default:
	// the conversation of the request.
	workflowType, workflowID string
	signalFails              int // how many signals fail
	began                    []time.Time
	signals                  []conversation.CallFailing
	signalled                []string // workflow, run and name of each signal
	log                      bytes.Buffer
	attemptStart             time.Time
}

func (s *surroundings) InterceptActivity(
	_ context.Context, next interceptor.ActivityInboundInterceptor,
) interceptor.ActivityInboundInterceptor {
	in := &inbound{surroundings: s}
	in.Next = next
	return in
}

type inbound struct {
	interceptor.ActivityInboundInterceptorBase
	*surroundings
}

func (i *inbound) Init(next interceptor.ActivityOutboundInterceptor) error {
	out := &outbound{surroundings: i.surroundings}
	out.Next = next
	return i.Next.Init(out)
}

func (i *inbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	i.attemptStart = i.now()
	i.began = append(i.began, i.attemptStart)
	return i.Next.ExecuteActivity(context.WithValue(ctx, surroundingsKey{}, i.surroundings), in)
}

type outbound struct {
	interceptor.ActivityOutboundInterceptorBase
	*surroundings
}

func (o *outbound) GetInfo(ctx context.Context) activity.Info {
	info := o.Next.GetInfo(ctx)
	info.StartedTime = o.attemptStart
	info.WorkflowType = &workflow.Type{Name: cmp.Or(o.workflowType, conversation.WorkflowType)}
	info.WorkflowExecution.ID = o.workflowID
	return info
}

type surroundingsKey struct{}

// oneOrg is the only org of its activities. Without a gate, every call gets a new one: the
// SDK's test environment skips the time that a gate waits for.
type oneOrg struct {
	api  activities.API
	gate *gate.Gate
}

func (o oneOrg) Org(id string) (activities.Org, bool) {
	if o.gate == nil {
		o.gate = gate.New(gate.Options{})
	}
	return activities.Org{API: o.api, Gate: o.gate}, id == orgID
}

// newActivities returns the activities for one org. Their signals go to the
// surroundings of the attempt.
func newActivities(api activities.API) *activities.Activities {
	return activities.NewWithClient(oneOrg{api: api}, receiver)
}

// receiver returns the receiver of an attempt's signals.
func receiver(ctx context.Context) activities.TemporalClient {
	return ctx.Value(surroundingsKey{}).(*surroundings)
}

func (s *surroundings) RecordActivityHeartbeat(context.Context, []byte, ...any) error { return nil }

func (s *surroundings) SignalWorkflow(ctx context.Context, workflowID, runID, name string, arg any) error {
	if deadline, bounded := ctx.Deadline(); !bounded || time.Until(deadline) > 2*time.Second {
		return errors.New("the attempt has no time to wait that long")
	}
	s.signalled = append(s.signalled, workflowID+" "+runID+" "+name)
	if len(s.signalled) <= s.signalFails {
		return errors.New("the signal is lost")
	}
	s.signals = append(s.signals, arg.(conversation.CallFailing))
	return nil
}

func (s *surroundings) options() worker.Options {
	return worker.Options{Interceptors: []interceptor.WorkerInterceptor{s}}
}

func (s *surroundings) suite() *testsuite.WorkflowTestSuite {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(&s.log, nil))))
	return &suite
}

// addTo adds what was recorded to a result. Lines of the SDK's test environment are
// left out.
func (s *surroundings) addTo(got *result) {
	got.signals = s.signals
	for _, began := range s.began {
		got.began = append(got.began, began.Sub(s.began[0]))
	}
	for line := range strings.Lines(s.log.String()) {
		if found := ourLine.FindStringSubmatch(line); found != nil {
			got.log = append(got.log, found[1]+": "+found[2])
		}
	}
}

var ourLine = regexp.MustCompile(`level=(\w+) msg="((?:Call|Session) [^"]+)"`)

// attempt runs the activity once, after the progress of earlier attempts.
func attempt(
	t *testing.T,
	do *activities.Activities,
	op conversation.Operation,
	r activities.Request,
	before *progress,
) result {
	t.Helper()
	around := &surroundings{now: time.Now}
	return attemptIn(t, around, around.options(), do, op, r, before)
}

func attemptIn(
	t *testing.T,
	around *surroundings,
	options worker.Options,
	do *activities.Activities,
	op conversation.Operation,
	r activities.Request,
	before *progress,
) result {
	t.Helper()
	around.workflowID = cmp.Or(around.workflowID, r.WorkflowID())
	env := around.suite().NewTestActivityEnvironment()
	env.SetWorkerOptions(options)
	env.RegisterActivity(do)
	if before != nil {
		env.SetHeartbeatDetails(before)
	}
	var got result
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		got.heartbeat = &progress{}
		require.NoError(t, details.Get(got.heartbeat))
	})
	value, err := env.ExecuteActivity(string(op), r)
	around.addTo(&got)
	if err == nil {
		require.NoError(t, value.Get(&got.answer))
		requireNoPersonalData(t, got.answer)
		return got
	}
	require.ErrorAs(t, err, &got.failure)
	require.NoError(t, got.failure.Details(&got.answer))
	require.NoError(t, got.failure.Unwrap(), "a cause would repeat the message")
	requireNoPersonalData(t, err.Error(), got.answer)
	return got
}

// once is a workflow of one call, with its retries.
func once(ctx workflow.Context, op conversation.Operation, r activities.Request) (conversation.Answer, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		ActivityID:          activityID,
		StartToCloseTimeout: activities.AttemptTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute,
			MaximumAttempts: 100, // without a limit, the test environment stops after ten attempts
		},
	})
	var answer conversation.Answer
	err := workflow.ExecuteActivity(ctx, string(op), r).Get(ctx, &answer)
	return answer, err
}

// attempts runs the activity with its retries until it returns. It does not wait.
func attempts(t *testing.T, do *activities.Activities, op conversation.Operation, r activities.Request) result {
	t.Helper()
	return attemptsIn(t, &surroundings{}, do, op, r)
}

func attemptsIn(
	t *testing.T, around *surroundings, do *activities.Activities, op conversation.Operation, r activities.Request,
) result {
	t.Helper()
	env := around.suite().NewTestWorkflowEnvironment()
	around.now, around.workflowID = env.Now, r.WorkflowID()
	env.SetStartTime(time.Now())
	env.SetWorkerOptions(around.options())
	env.RegisterActivity(do)
	env.RegisterWorkflow(once)
	env.ExecuteWorkflow(once, op, r)
	require.True(t, env.IsWorkflowCompleted())
	var got result
	around.addTo(&got)
	if err := env.GetWorkflowError(); err != nil {
		require.ErrorAs(t, err, &got.failure)
		require.NoError(t, got.failure.Details(&got.answer))
		requireNoPersonalData(t, err.Error(), got.answer)
		return got
	}
	require.NoError(t, env.GetWorkflowResult(&got.answer))
	return got
}

// requireNoPersonalData checks that what Temporal stores and shows contains no token,
// no secret and no identifier of the end user.
func requireNoPersonalData(t *testing.T, shown ...any) {
	t.Helper()
	for _, value := range shown {
		text, err := json.Marshal(value)
		require.NoError(t, err)
		for _, secret := range []string{endUser, strings.TrimPrefix(endUser, "+"), clientSecret, orgID + "!"} {
			require.NotContains(t, string(text), secret)
		}
	}
}
