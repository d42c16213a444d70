package simulator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"sessionkeeper/sandbox/simulator"
)

const (
	exampleOrg     = "00D000000000001"
	exampleContext = "Partner1_ChannelDefinition1"
)

// The first request to end a session fails, the second succeeds. In a test, use
// the client under test in place of the functions token and end.
func Example() {
	sandbox, err := simulator.New(simulator.Config{Orgs: []simulator.Org{{
		OrgID: exampleOrg, ConsumerKey: "key", ClientSecret: "secret",
		ChannelDefinitions: []string{exampleContext},
		ChannelAddresses:   []simulator.ChannelAddress{{ID: "channel-1"}},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(sandbox)
	defer server.Close()

	if _, err := sandbox.CreateSession(exampleOrg, simulator.Session{
		ConversationIdentifier: "conv-1", Status: simulator.StatusActive,
	}); err != nil {
		log.Fatal(err)
	}
	fault := simulator.Fault{
		Operation: simulator.End, Times: 1, Answer: &simulator.Answer{ErrorReason: "INTERNAL_ERROR"},
	}
	if _, err := sandbox.Inject(fault); err != nil {
		log.Fatal(err)
	}

	accessToken := token(server)
	fmt.Println(end(server, accessToken))
	fmt.Println(end(server, accessToken))

	session, _ := sandbox.Session(exampleOrg, "conv-1")
	fmt.Println(session.Status)
	for _, entry := range sandbox.Journal() {
		fmt.Println(entry.Path, entry.Success, entry.Violations)
	}
	// Output:
	// map[errorReason:INTERNAL_ERROR success:false]
	// map[success:true]
	// Ended
	// /services/oauth2/token true []
	// /api/v1/messagingSession false []
	// /api/v1/messagingSession true []
}

func token(server *httptest.Server) string {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"key"}, "client_secret": {"secret"}}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	return fmt.Sprint(post(server, "/services/oauth2/token", header, form.Encode())["access_token"])
}

func end(server *httptest.Server, accessToken string) map[string]any {
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("Authorization", "Bearer "+accessToken)
	header.Set("OrgId", exampleOrg)
	header.Set("RequestId", uuid.NewString())
	header.Set("AuthorizationContext", exampleContext)
	return post(server, "/api/v1/messagingSession", header, `{"operation": "End", "conversationIdentifier": "conv-1",
		"channelAddressIdentifier": "channel-1", "endUserClientId": "end-user-1"}`)
}

func post(server *httptest.Server, path string, header http.Header, body string) map[string]any {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, server.URL+path, strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	req.Header = header
	res, err := server.Client().Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		log.Fatal(err)
	}
	return answer
}
