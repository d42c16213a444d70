package receiver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/access"
	"sessionkeeper/internal/receiver"
	"sessionkeeper/internal/temporaltest"
)

const (
	orgA, orgB = "00D000000000001", "00D000000000002"
	tokenA     = "token-of-org-a"
	tokenB     = "token-of-org-b"
	tokenAll   = "token-of-all-orgs"
)

// ofOrg returns an event of a conversation of an org.
func ofOrg(org, kind, conversation string) string {
	text := event(kind, conversation, time.Now())
	if kind == "session-status" {
		text = fmt.Sprintf(`{"specversion":"1.0","id":"e","source":"/r","type":"sessionkeeper.conversation.session-status",`+
			`"time":%q,"orgid":%q,"data":{"sessionId":%q,"conversationIdentifier":%q,"sessionStatus":"Ended"}}`,
			time.Now().Format(time.RFC3339), orgA, session, conversation)
	}
	return strings.ReplaceAll(text, orgA, org)
}

// inBinaryMode is an event of org as headers and data.
func inBinaryMode(t *testing.T, text string) (headers []string, data string) {
	t.Helper()
	var e map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &e))
	body, err := json.Marshal(e["data"])
	require.NoError(t, err)
	delete(e, "data")
	headers = []string{"Content-Type", "application/json"}
	for name, value := range e {
		headers = append(headers, "ce-"+name, value.(string))
	}
	return headers, string(body)
}

// Every endpoint and every type of event in every content mode, with every kind of
// token: nothing crosses from one org to another.
func TestTokensSpeakForTheirOrgsOnly(t *testing.T) {
	text := tokenLine("a", tokenA, orgA) + tokenLine("b", tokenB, orgB) + tokenLine("operations", tokenAll, "all")
	const revoked = "token-that-was-revoked"
	srv, path := startWithTokens(t, text+tokenLine("old", revoked, "all"))
	srv.becomes(t, http.StatusNotFound, revoked)
	replaceFile(t, path, text)
	srv.becomes(t, http.StatusUnauthorized, revoked)

	for _, holder := range []struct {
		name, authorization string
		own                 bool
		refusal             int
	}{
		{"own org", "Bearer " + tokenA, true, 0},
		{"another org", "Bearer " + tokenB, false, http.StatusForbidden},
		{"all orgs", "Bearer " + tokenAll, true, 0},
		{"revoked", "Bearer " + revoked, false, http.StatusUnauthorized},
		{"unknown", "Bearer " + tokenA + "x", false, http.StatusUnauthorized},
		{"hash", "Bearer " + strings.Trim(strings.Split(text, `"`)[1], `"`), false, http.StatusUnauthorized},
		{"other scheme", "Basic " + tokenA, false, http.StatusUnauthorized},
		{"none", "", false, http.StatusUnauthorized},
	} {
		for _, kind := range []string{"started", "message", "closed", "session-status"} {
			t.Run(holder.name+"/"+kind, func(t *testing.T) {
				before := len(srv.temporal.Calls())
				foreign := ofOrg(orgA, kind, "c1")
				binaryHeaders, binaryBody := inBinaryMode(t, foreign)
				for mode, got := range map[string]httpResponse{
					"structured": srv.do(t, http.MethodPost, "/v1/events", strings.NewReader(foreign),
						"Content-Type", structuredType, "Authorization", holder.authorization),
					"batch": srv.do(t, http.MethodPost, "/v1/events", strings.NewReader(batch(foreign)),
						"Content-Type", batchType, "Authorization", holder.authorization),
					"binary": srv.do(t, http.MethodPost, "/v1/events", strings.NewReader(binaryBody),
						append(binaryHeaders, "Authorization", holder.authorization)...),
				} {
					if holder.own {
						require.Equal(t, http.StatusAccepted, got.status, mode)
						continue
					}
					require.Equal(t, holder.refusal, got.status, mode)
					got.problem(t)
				}
				if !holder.own {
					require.Len(t, srv.temporal.Calls(), before, "nothing reaches Temporal")
				}
			})
		}
		t.Run(holder.name+"/query", func(t *testing.T) {
			srv.temporal.SetLastRun(temporaltest.Run{WorkflowID: orgA + ":c1"})
			srv.temporal.SetStatus(conversation.Status{
				OrgID: orgA, ConversationIdentifier: "c1", Phase: conversation.Active, SessionID: session, StartedAt: time.Now(),
				Policy: conversation.Policy{}.WithDefaults(),
			})
			before := len(srv.temporal.Calls())
			got := srv.get(t, "/v1/conversations/"+orgA+"/c1", "Authorization", holder.authorization)
			if holder.own {
				require.Equal(t, http.StatusOK, got.status)
				return
			}
			require.Equal(t, holder.refusal, got.status)
			got.problem(t)
			require.Len(t, srv.temporal.Calls(), before)
		})
	}
	require.NotContains(t, srv.log.String(), tokenA)
	require.NotContains(t, srv.log.String(), revoked)
}

func TestOneForeignEventRefusesTheWholeRequest(t *testing.T) {
	srv, _ := startWithTokens(t, tokenLine("a", tokenA, orgA))
	got := srv.do(t, http.MethodPost, "/v1/events", strings.NewReader(batch(
		ofOrg(orgA, "message", "c1"), ofOrg(orgB, "closed", "c2"), ofOrg(orgA, "closed", "c1"), ofOrg(orgB, "session-status", "c2"))),
		"Content-Type", batchType, "Authorization", "Bearer "+tokenA)
	require.Equal(t, http.StatusForbidden, got.status)
	p := got.problem(t)
	require.Equal(t, "2 of 4 events are of orgs for which this token may not speak; no event of the request was processed",
		p.Detail)
	require.Len(t, p.Errors, 2)
	require.Equal(t, 1, *p.Errors[0].Index)
	require.Equal(t, 3, *p.Errors[1].Index)
	require.Equal(t, "orgId", p.Errors[0].Field)
	require.Empty(t, srv.temporal.Calls())
	_, metrics := srv.getMonitoring(t, "/metrics")
	require.Contains(t, metrics, `sessionkeeper_events_total{receipt="forbidden",type="closed"} 1`)
	require.Contains(t, metrics, `sessionkeeper_events_total{receipt="not accepted",type="closed"} 1`)
}

func TestFailedAuthenticationIsCountedAndWarnedOfOnce(t *testing.T) {
	srv := startServer(t)
	for range 5 {
		require.Equal(t, http.StatusUnauthorized, srv.statusWith(t, "a-guessed-token"))
	}
	require.Equal(t, http.StatusUnauthorized, srv.get(t, "/v1/conversations/x/c1", "Authorization", "").status)
	require.Equal(t, 1, srv.log.count("A request had no accepted token"), srv.log)
	require.Equal(t, 1, srv.log.count(`"remote":"127.0.0.1"`), "the warning names the address: %s", srv.log)
	require.NotContains(t, srv.log.String(), "guessed")
	_, metrics := srv.getMonitoring(t, "/metrics")
	require.Contains(t, metrics, `sessionkeeper_http_authentication_failures_total{token="unknown"} 5`)
	require.Contains(t, metrics, `sessionkeeper_http_authentication_failures_total{token="none"} 1`)
}

func TestSchemeIsNotCaseSensitive(t *testing.T) {
	srv := startServer(t)
	require.Equal(t, http.StatusNotFound,
		srv.get(t, "/v1/conversations/"+orgA+"/c1", "Authorization", "bearer "+token).status)
}

func TestTLSOrPlainHTTPIsSaidExplicitly(t *testing.T) {
	tokens, err := access.ParseTokens(tokenLine("a", tokenA, orgA))
	require.NoError(t, err)
	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0"} {
		o := receiver.Options{Listener: access.Listener{Address: address}, MetricsListen: "127.0.0.1:0", Logger: zap.NewNop(), Tokens: tokens}
		require.ErrorContains(t, receiver.Run(t.Context(), o), "want a certificate, a loopback address, or plain HTTP")
	}
	srv := startServer(t, func(o *receiver.Options) { o.Listener = access.Listener{Address: "0.0.0.0:0", PlainHTTP: true} })
	require.NotEmpty(t, srv.url)
}
