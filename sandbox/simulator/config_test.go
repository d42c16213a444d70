package simulator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/sandbox/simulator"
)

const yamlConfig = `
maxRequestsPerSecond: 10
journalSize: 5
seed: 1
orgs:
  - orgId: 00D00000000000B
    consumerKey: key
    clientSecret: secret
    channelDefinitions: [Partner1]
    channelAddresses: [{id: a}, {id: b, inactive: true}]
    endUsers: [end-user-1]
    tokenLifetime: 1m30s
behaviour:
  capitalErrorReason: true
  sessionsAppearAfter: 200ms
  transitions: {End: {Ended: SUCCESS}}
  answers:
    rateLimited: {status: 503, code: 1, retryAfter: 2s}
`

func TestReadConfig(t *testing.T) {
	c, err := simulator.ReadConfig(strings.NewReader(yamlConfig))
	require.NoError(t, err)
	require.Equal(t, simulator.Duration(90*time.Second), c.Orgs[0].TokenLifetime)
	require.Equal(t, []simulator.ChannelAddress{{ID: "a"}, {ID: "b", Inactive: true}}, c.Orgs[0].ChannelAddresses)
	require.Equal(t, simulator.Success, c.Behaviour.Transitions[simulator.End][simulator.StatusEnded])
	require.Equal(t, simulator.Answer{Status: 503, Code: 1, RetryAfter: simulator.Duration(2 * time.Second)},
		c.Behaviour.Answers[simulator.RateLimited])
	_, err = simulator.New(c)
	require.NoError(t, err)

	c, err = simulator.ReadConfig(strings.NewReader(`{"orgs":[{"orgId":"x"}],"seed":3}`))
	require.NoError(t, err, "JSON")
	require.EqualValues(t, 3, c.Seed)

	for want, text := range map[string]string{
		"empty": "", "orgz": "orgz: []", "duration": "orgs: [{tokenLifetime: 5}]", "line": "orgs: {",
	} {
		_, err := simulator.ReadConfig(strings.NewReader(text))
		require.ErrorContains(t, err, want)
	}
}

func TestNewReportsEveryInvalidField(t *testing.T) {
	_, err := simulator.New(simulator.Config{})
	require.ErrorContains(t, err, "orgs:")

	good := simulator.Org{OrgID: orgB, ConsumerKey: "k", ClientSecret: "s", ChannelDefinitions: []string{"d"}}
	bad := simulator.Org{
		OrgID: "x", PublicKey: "no PEM", TokenLifetime: -1, ChannelAddresses: []simulator.ChannelAddress{{}},
	}
	_, err = simulator.New(simulator.Config{
		MaxRequestsPerSecond: -1, JournalSize: -1,
		Orgs: []simulator.Org{good, good, bad, {OrgID: orgA, ConsumerKey: "z"}},
		Behaviour: simulator.Behaviour{
			SessionsAppearAfter: -1,
			Transitions: map[simulator.Operation]map[simulator.Status]string{
				"Stop": {simulator.StatusNew: ""}, simulator.End: {"Dead": simulator.Success},
			},
			Answers: map[simulator.Cause]simulator.Answer{"other": {Status: 400}, simulator.RateLimited: {}},
		},
	})
	for _, want := range []string{
		"maxRequestsPerSecond:", "journalSize:", "orgs[1].orgId:", "orgs[1].consumerKey:",
		"orgs[2].orgId:", "orgs[2].consumerKey:", "orgs[2].publicKey:", "orgs[2].username:",
		"orgs[2].channelDefinitions:", "orgs[2].tokenLifetime:", "orgs[2].channelAddresses[0].id:",
		"orgs[3].publicKey:", "behaviour.sessionsAppearAfter:", `"Stop"`, `"Dead"`, "Stop.New: empty", `"other"`,
		"behaviour.answers.rateLimited.",
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "no PEM")
}
