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
	orgA     = simulator.DemoOrgID
	orgB     = "00D00000000000B"
	channel  = simulator.DemoChannelAddress
	endUser  = "+49 170 1234567"
	secretB  = "b-secret"
	apiPath  = "/api/v1/messagingSession"
	convPath = "/api/v1/conversation"
)

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

// lab is a simulator with two orgs behind a real server, and its clock.
type lab struct {
	*simulator.Simulator
	t      *testing.T
	url    string
	client *http.Client
	token  string
	mu     sync.Mutex
	now    time.Time
}

func newLab(t *testing.T, change ...func(*simulator.Config)) *lab {
	a, _ := demoOrg()
	b := simulator.Org{
		OrgID: orgB, ConsumerKey: "b-key", ClientSecret: secretB,
		ChannelDefinitions: []string{"B_Channel"}, ChannelAddresses: []simulator.ChannelAddress{{ID: channel}},
	}
	l := &lab{t: t, now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	config := simulator.Config{Orgs: []simulator.Org{a, b}, Clock: l.clock}
	for _, c := range change {
		c(&config)
	}
	var err error
	l.Simulator, err = simulator.New(config)
	require.NoError(t, err)
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	l.url, l.client = server.URL, server.Client()
	l.token = l.grantB()
	l.token = l.grantA()
	l.ClearJournal()
	return l
}

func behaving(b simulator.Behaviour) func(*simulator.Config) {
	return func(c *simulator.Config) { c.Behaviour = b }
}

func (l *lab) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (l *lab) advance(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
}

type response struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

// try sends a request and reads its answer to the end.
func (l *lab) try(ctx context.Context, method, path string, header map[string]string, body string) (response, error) {
	req, err := http.NewRequestWithContext(ctx, method, l.url+path, strings.NewReader(body))
	require.NoError(l.t, err)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := l.client.Do(req)
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

func (l *lab) do(method, path string, header map[string]string, body string) response {
	l.t.Helper()
	r, err := l.try(l.t.Context(), method, path, header, body)
	require.NoError(l.t, err)
	return r
}

// headers of a call to the API that is right in every respect, with changes;
// an empty value takes a header away.
func (l *lab) headers(changes map[string]string) map[string]string {
	h := map[string]string{
		"Authorization": "Bearer " + l.token, "Content-Type": "application/json", "OrgId": orgA,
		"RequestId": uuid.NewString(), "AuthorizationContext": simulator.DemoAuthorizationContext,
	}
	return changed(h, changes)
}

// fields of a body that is right in every respect, with changes.
func fields(changes map[string]string) string {
	body := map[string]string{
		"channelAddressIdentifier": channel, "endUserClientId": endUser, "conversationIdentifier": "conv-1",
		"operation": "End", "operationBy": "System",
	}
	text, _ := json.Marshal(changed(body, changes))
	return string(text)
}

func changed(m, changes map[string]string) map[string]string {
	maps.Copy(m, changes)
	maps.DeleteFunc(m, func(_, v string) bool { return v == "" })
	return m
}

func (l *lab) call(changes map[string]string) response {
	l.t.Helper()
	return l.do(http.MethodPost, apiPath, l.headers(nil), fields(changes))
}

// session makes the Active session that fields names.
func (l *lab) session() simulator.Session {
	l.t.Helper()
	s, err := l.CreateSession(orgA, simulator.Session{
		ConversationIdentifier: "conv-1", ChannelAddressIdentifier: channel, EndUserClientID: endUser, Status: simulator.StatusActive,
	})
	require.NoError(l.t, err)
	return s
}

func (l *lab) status() simulator.Status {
	l.t.Helper()
	s, found := l.Session(orgA, "conv-1")
	require.True(l.t, found)
	return s.Status
}

func (l *lab) last() simulator.Entry {
	l.t.Helper()
	entries := l.Journal()
	require.NotEmpty(l.t, entries)
	return entries[len(entries)-1]
}

func (l *lab) inject(f simulator.Fault) string {
	l.t.Helper()
	id, err := l.Inject(f)
	require.NoError(l.t, err)
	return id
}

func (l *lab) assertion(changes jwt.MapClaims) string {
	_, key := demoOrg()
	claims := jwt.MapClaims{
		"iss": simulator.DemoConsumerKey, "sub": simulator.DemoUsername,
		"aud": "https://login.salesforce.com", "exp": l.clock().Add(2 * time.Minute).Unix(),
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	text, err := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(key)
	require.NoError(l.t, err)
	return text
}

func (l *lab) tokenCall(form url.Values) response {
	l.t.Helper()
	return l.do(http.MethodPost, "/services/oauth2/token", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, form.Encode())
}

func bearerForm(assertion string) url.Values {
	return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
}

func (l *lab) grantA() string { return l.granted(bearerForm(l.assertion(nil))) }

func (l *lab) grantB() string {
	return l.granted(url.Values{"grant_type": {"client_credentials"}, "client_id": {"b-key"}, "client_secret": {secretB}})
}

func (l *lab) granted(form url.Values) string {
	l.t.Helper()
	r := l.tokenCall(form)
	require.Equal(l.t, http.StatusOK, r.status, r.raw)
	return r.body["access_token"].(string)
}
