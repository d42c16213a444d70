package activities_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
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
)

var operations = []conversation.Operation{conversation.Inactivate, conversation.End}

// lab runs the activities with the real client against the simulator. The handler
// api, if set, answers instead of the simulator.
type lab struct {
	*simulator.Simulator
	t      *testing.T
	server *httptest.Server
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
		ClientID: "key", ClientSecret: clientSecret, TokenURL: l.server.URL + "/services/oauth2/token", Timeout: timeout,
	})
	require.NoError(t, err)
	client, err := interaction.NewClient(l.server.URL, tokens, interaction.ClientOptions{Timeout: timeout})
	require.NoError(t, err)
	l.do = activities.New(map[string]activities.API{orgID: client})
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
func (l *lab) apiCalls() []simulator.Entry {
	var calls []simulator.Entry
	for _, e := range l.Journal() {
		if e.Path == apiPath {
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
	Attempt        int  `json:"attempt"`
	Capped         int  `json:"capped"`
	EarlyNotFound  int  `json:"earlyNotFound"`
	OutcomeUnknown bool `json:"outcomeUnknown"`
}

// result is the result of one attempt.
type result struct {
	answer    conversation.Answer
	failure   *temporal.ApplicationError // nil for a success
	heartbeat *progress                  // nil if none was sent
}

func newSuite() *testsuite.WorkflowTestSuite {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	return &suite
}

// attempt runs the activity once, after the progress of earlier attempts.
func attempt(
	t *testing.T,
	do *activities.Activities,
	op conversation.Operation,
	r activities.Request,
	before *progress,
) result {
	t.Helper()
	env := newSuite().NewTestActivityEnvironment()
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
