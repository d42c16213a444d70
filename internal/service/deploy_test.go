package service

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/interaction"
	"sessionkeeper/sandbox/simulator"
)

// readDeployFile returns a file of deploy/. The replacements are pairs of old and new
// texts, such as paths and addresses.
func readDeployFile(t *testing.T, name string, replacements ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../deploy", name))
	require.NoError(t, err)
	for i := 0; i < len(replacements); i += 2 {
		require.Contains(t, string(text), replacements[i])
	}
	return []byte(strings.NewReplacer(replacements...).Replace(string(text)))
}

func TestExampleConfigurationIsValid(t *testing.T) {
	t.Setenv("OTHER_ORG_CONSUMER_SECRET", "secret")
	key := write(t, "key.pem", rsaKey(t))
	text := readDeployFile(t, "worker.example.yaml", "/run/secrets/sessionkeeper/key.pem", key)
	config, err := parseStrictly(text)
	require.NoError(t, err)
	require.Len(t, config.Orgs, 2)
	clients, err := clientsOf(config)
	require.NoError(t, err)
	require.Len(t, clients, 2)

	// The settings in comments must exist, and show the defaults.
	uncommented := string(text)
	for _, field := range []string{
		"taskQueue", "cachedConversations", "callSlots", "workflowTaskSlots", "maxPollers", "stopTimeout", "deployment", "callTimeout", "tokenLifetime",
		"callsInFlight", "callsPerSecond",
		"audience", "tokenUrl", "  name", "  buildId",
	} {
		require.Contains(t, uncommented, "#"+field+":")
		uncommented = strings.ReplaceAll(uncommented, "#"+field+":", field+":")
	}
	all, err := parseStrictly([]byte(uncommented))
	require.NoError(t, err)
	require.Equal(t, &Deployment{Name: "sessionkeeper", BuildID: "1.2.3"}, all.Deployment)
	all.Deployment = nil
	jwt := all.Orgs[0].JWTBearer
	require.Equal(t, interaction.ProductionLogin, jwt.Audience)
	require.Equal(t, interaction.ProductionLogin+"/services/oauth2/token", jwt.TokenURL)
	jwt.Audience, jwt.TokenURL = "", ""
	require.Equal(t, config, all)
}

func TestSandboxConfigurationWorksWithTheSandbox(t *testing.T) {
	org, key, err := simulator.DemoOrg()
	require.NoError(t, err)
	sandbox, err := simulator.New(simulator.Config{Orgs: []simulator.Org{org}})
	require.NoError(t, err)
	server := httptest.NewServer(sandbox)
	defer server.Close()

	config, err := parseStrictly(readDeployFile(t, "worker.sandbox.yaml",
		"http://sandbox:8787", server.URL, "/run/sandbox/key.pem", write(t, "key.pem", string(key))))
	require.NoError(t, err)
	clients, err := clientsOf(config)
	require.NoError(t, err)
	_, err = sandbox.CreateSession(simulator.DemoOrgID, simulator.Session{
		ID: "0Mw000000000001AAA", ConversationIdentifier: conversationID, Status: simulator.StatusActive,
		ChannelAddressIdentifier: simulator.DemoChannelAddress, EndUserClientID: endUser,
	})
	require.NoError(t, err)
	_, err = clients[simulator.DemoOrgID].MessagingSession(t.Context(), interaction.Request{
		OrgID: simulator.DemoOrgID, AuthorizationContext: simulator.DemoAuthorizationContext,
		ChannelAddressIdentifier: simulator.DemoChannelAddress, EndUserClientID: endUser,
		ConversationIdentifier: conversationID, SessionID: "0Mw000000000001AAA",
		Operation: interaction.End, OperationBy: interaction.ByEndUser, RequestID: uuid.New(),
	})
	require.NoError(t, err)
}

// The unchanged file uses http to another container, which plainHttp must allow.
func TestSandboxConfigurationIsValid(t *testing.T) {
	_, err := parseStrictly(readDeployFile(t, "worker.sandbox.yaml", "/run/sandbox/key.pem", write(t, "key.pem", rsaKey(t))))
	require.NoError(t, err)
}
