package simulator_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"sessionkeeper/sandbox/simulator"
)

const (
	orgA                 = simulator.DemoOrgID
	orgB                 = "00D00000000000B"
	channel              = simulator.DemoChannelAddress
	inactiveChannel      = simulator.DemoInactiveChannelAddress
	endUser              = "+49 170 1234567"
	secretB              = "b-secret"
	tokenPath            = "/services/oauth2/token"
	conversationPath     = "/api/v1/conversation"
	messagingSessionPath = "/api/v1/messagingSession"

	demoConsumerKey = "sandbox-consumer-key"
	demoUsername    = "partner@example.com"
)

// m makes tables of headers and fields short.
type m = map[string]string

// demoOrg returns the same org and key each time, because making a key is slow.
var demoOrg = sync.OnceValues(func() (simulator.Org, *rsa.PrivateKey) {
	org, pem, err := simulator.DemoOrg()
	if err != nil {
		panic(err)
	}
	key, err := jwt.ParseRSAPrivateKeyFromPEM(pem)
	if err != nil {
		panic(err)
	}
	return org, key
})

// harness is a simulator of two orgs behind a real server, with a clock that the
// test sets and a token of orgA.
type harness struct {
	*simulator.Simulator
	t      *testing.T
	url    string
	client *http.Client
	token  string
	mu     sync.Mutex
	now    time.Time
}

func newHarness(t *testing.T, change ...func(*simulator.Config)) *harness {
	a, _ := demoOrg()
	b := simulator.Org{
		OrgID: orgB, ConsumerKey: "b-key", ClientSecret: secretB,
		ChannelDefinitions: []string{"B_Channel"}, ChannelAddresses: []simulator.ChannelAddress{{ID: channel}},
	}
	h := &harness{t: t, now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	config := simulator.Config{Orgs: []simulator.Org{a, b}, Clock: h.clock}
	for _, c := range change {
		c(&config)
	}
	var err error
	h.Simulator, err = simulator.New(config)
	require.NoError(t, err)
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.url, h.client = server.URL, server.Client()
	_ = h.newTokenB() // so that tokens of both orgs are valid
	h.token = h.newTokenA()
	h.ClearJournal()
	return h
}

func withBehaviour(b simulator.Behaviour) func(*simulator.Config) {
	return func(c *simulator.Config) { c.Behaviour = b }
}

func (h *harness) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *harness) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

type response struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

// try sends a request and reads the whole response.
func (h *harness) try(ctx context.Context, method, path string, header m, body string) (response, error) {
	req, err := http.NewRequestWithContext(ctx, method, h.url+path, strings.NewReader(body))
	require.NoError(h.t, err)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := h.client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	r := response{status: res.StatusCode, header: res.Header, raw: string(raw)}
	if err == nil && json.NewDecoder(bytes.NewReader(raw)).Decode(&r.body) != nil {
		r.body = nil
	}
	return r, err
}

func (h *harness) do(method, path string, header m, body string) response {
	h.t.Helper()
	r, err := h.try(h.t.Context(), method, path, header, body)
	require.NoError(h.t, err)
	return r
}

// headers returns the headers of a valid API request, with changes. An empty
// value removes a header.
func (h *harness) headers(changes m) m {
	headers := m{
		"Authorization": "Bearer " + h.token, "Content-Type": "application/json", "OrgId": orgA,
		"RequestId": uuid.NewString(), "AuthorizationContext": simulator.DemoAuthorizationContext,
	}
	return changed(headers, changes)
}

// fields returns the body of a valid End request, with changes. An empty value
// removes a field.
func fields(changes m) string {
	body := m{
		"channelAddressIdentifier": channel, "endUserClientId": endUser, "conversationIdentifier": "conv-1",
		"operation": "End", "operationBy": "System",
	}
	text, _ := json.Marshal(changed(body, changes))
	return string(text)
}

func changed(valid, changes m) m {
	maps.Copy(valid, changes)
	maps.DeleteFunc(valid, func(_, v string) bool { return v == "" })
	return valid
}

// call sends a valid End request with changes to its body.
func (h *harness) call(changes m) response {
	h.t.Helper()
	return h.callWith(nil, fields(changes))
}

// callWith sends a body to /api/v1/messagingSession, with changes to the headers.
func (h *harness) callWith(headers m, body string) response {
	h.t.Helper()
	return h.do(http.MethodPost, messagingSessionPath, h.headers(headers), body)
}

// session creates the Active session that fields names.
func (h *harness) session() simulator.Session {
	h.t.Helper()
	s, err := h.CreateSession(orgA, simulator.Session{
		ConversationIdentifier: "conv-1", ChannelAddressIdentifier: channel, EndUserClientID: endUser,
		Status: simulator.StatusActive,
	})
	require.NoError(h.t, err)
	return s
}

func (h *harness) status() simulator.Status {
	h.t.Helper()
	s, found := h.Session(orgA, "conv-1")
	require.True(h.t, found)
	return s.Status
}

// last returns the last journal entry.
func (h *harness) last() simulator.Entry {
	h.t.Helper()
	entries := h.Journal()
	require.NotEmpty(h.t, entries)
	return entries[len(entries)-1]
}

func (h *harness) inject(f simulator.Fault) string {
	h.t.Helper()
	id, err := h.Inject(f)
	require.NoError(h.t, err)
	return id
}

// assertion returns a valid assertion of orgA, with changes to its claims. A nil
// value removes a claim.
func (h *harness) assertion(changes jwt.MapClaims) string {
	_, key := demoOrg()
	claims := jwt.MapClaims{
		"iss": demoConsumerKey, "sub": demoUsername,
		"aud": "https://login.salesforce.com", "exp": h.clock().Add(2 * time.Minute).Unix(),
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	text, err := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(key)
	require.NoError(h.t, err)
	return text
}

func (h *harness) tokenCall(form url.Values) response {
	h.t.Helper()
	return h.do(http.MethodPost, tokenPath, m{"Content-Type": "application/x-www-form-urlencoded"}, form.Encode())
}

func bearerForm(assertion string) url.Values {
	return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
}

func clientForm(id, secret string) url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
}

func (h *harness) newTokenA() string { return h.newToken(bearerForm(h.assertion(nil))) }

func (h *harness) newTokenB() string { return h.newToken(clientForm("b-key", secretB)) }

func (h *harness) newToken(form url.Values) string {
	h.t.Helper()
	r := h.tokenCall(form)
	require.Equal(h.t, http.StatusOK, r.status, r.raw)
	return r.body["access_token"].(string)
}
