package receiver_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/access"
	"sessionkeeper/internal/receiver"
)

func TestAuditLogHasOneLinePerRequest(t *testing.T) {
	var log logBuffer
	tokens, err := access.ParseTokens(tokenLine("a", tokenA, orgA) + tokenLine("operations", tokenAll, "all"))
	require.NoError(t, err)
	srv := startServer(t, func(o *receiver.Options) { o.Tokens, o.Audit = tokens, &log })
	post := func(token, mediaType, body string) {
		srv.do(t, http.MethodPost, "/v1/events", strings.NewReader(body), "Content-Type", mediaType, "Authorization", "Bearer "+token)
	}
	began := time.Now()
	post(tokenAll, batchType, batch(ofOrg(orgA, "message", "c1"), ofOrg(orgA, "message", "c1"), ofOrg(orgB, "closed", "c2")))
	post(tokenA, batchType, batch(ofOrg(orgA, "message", "c1"), ofOrg(orgB, "closed", "c2")))
	post(tokenA, structuredType, `{"data":"`+phone+`"}`)
	srv.get(t, "/v1/conversations/"+orgA+"/c9", "Authorization", "Bearer "+tokenA)
	srv.get(t, "/v1/conversations/"+orgB+"/c9", "Authorization", "Bearer "+tokenA)
	post("unknown-token", structuredType, ofOrg(orgA, "message", "c1"))

	var lines []map[string]any
	for line := range strings.Lines(log.String()) {
		var record map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &record))
		at, err := time.Parse(time.RFC3339Nano, record["time"].(string))
		require.NoError(t, err)
		require.WithinDuration(t, began, at, time.Minute)
		require.Equal(t, "127.0.0.1", record["remote"])
		require.Contains(t, record, "milliseconds")
		delete(record, "time")
		delete(record, "remote")
		delete(record, "milliseconds")
		lines = append(lines, record)
	}
	type object = map[string]any
	require.Equal(t, []map[string]any{
		{"token": "operations", "request": "events", "status": 202.0, "events": object{
			orgA: object{"message": object{"sent": 1.0, "absorbed": 1.0}}, orgB: object{"closed": object{"sent": 1.0}},
		}},
		{
			"token": "a", "request": "events", "status": 403.0,
			"refused": "1 of 2 events are of orgs for which this token may not speak; no event of the request was processed",
			"events":  object{orgA: object{"message": object{"not accepted": 1.0}}, orgB: object{"closed": object{"forbidden": 1.0}}},
		},
		{"token": "a", "request": "events", "status": 400.0, "refused": "the event is invalid; no event of the request was processed"},
		{"token": "a", "request": "conversation", "status": 404.0, "conversation": orgA + ":c9", "refused": "the conversation is not known"},
		{
			"token": "a", "request": "conversation", "status": 403.0, "conversation": orgB + ":c9",
			"refused": "this token may not speak for this org",
		},
	}, lines)
	for _, secret := range []string{phone[1:], tokenA, tokenAll, "unknown-token"} {
		require.NotContains(t, log.String(), secret)
	}
}
