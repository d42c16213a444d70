package receiver_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/access"
	"sessionkeeper/internal/receiver"
)

// startForTwo starts a server for two tokens, of which the first has a quota.
func startForTwo(t *testing.T, quota string, changes ...func(*receiver.Options)) *testServer {
	t.Helper()
	line := strings.Replace(tokenLine("a", tokenA, orgA), "}\n", ", quota: {"+quota+"}}\n", 1)
	tokens, err := access.ParseTokens(line + tokenLine("b", tokenB, orgB))
	require.NoError(t, err)
	return startServer(t, append(changes, func(o *receiver.Options) { o.Tokens = tokens })...)
}

func (srv *testServer) postAs(t *testing.T, token string, events ...string) httpResponse {
	t.Helper()
	return srv.do(t, http.MethodPost, "/v1/events", strings.NewReader(batch(events...)),
		"Content-Type", batchType, "Authorization", "Bearer "+token)
}

// requireTooMany asserts an answer 429 that says which quota is used up.
func requireTooMany(t *testing.T, got httpResponse, quota string) {
	t.Helper()
	require.Equal(t, http.StatusTooManyRequests, got.status, got.body)
	require.Equal(t, "1", got.header.Get("Retry-After"))
	require.Contains(t, got.problem(t).Detail, quota)
}

func TestRequestsPerSecondAreLimited(t *testing.T) {
	srv := startForTwo(t, "requestsPerSecond: 2")
	var got httpResponse
	for range 10 { // the machine may be so slow that a request is allowed again
		if got = srv.postAs(t, tokenA); got.status != http.StatusAccepted {
			break
		}
	}
	requireTooMany(t, got, "the quota of this token is 2 requests per second; no event of the request was processed")
	require.Equal(t, http.StatusAccepted, srv.postAs(t, tokenB).status, "another token has its own quota")
	require.Eventually(t, func() bool { return srv.postAs(t, tokenA).status == http.StatusAccepted },
		10*time.Second, 100*time.Millisecond)
}

func TestEventsPerSecondAreLimited(t *testing.T) {
	srv := startForTwo(t, "eventsPerSecond: 1", func(o *receiver.Options) { o.Limits.Events = 3 })
	three := []string{ofOrg(orgA, "message", "c1"), ofOrg(orgA, "message", "c1"), ofOrg(orgA, "message", "c1")}
	require.Equal(t, http.StatusAccepted, srv.postAs(t, tokenA, three...).status, "a full batch is always possible")
	got := srv.postAs(t, tokenA, three...)
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Equal(t, "3", got.header.Get("Retry-After"))
	require.Contains(t, got.problem(t).Detail, "1 events per second")
	require.Equal(t, http.StatusAccepted, srv.postAs(t, tokenB, ofOrg(orgB, "message", "c1")).status)
}

// 64 slow bodies of a token cost neither another token a 429, nor itself.
func TestSlowBodiesTakeNoSlot(t *testing.T) {
	srv := startForTwo(t, "requests: 1")
	for range 64 {
		connection := srv.dial(t)
		_, err := fmt.Fprintf(connection, "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: %s\r\nContent-Length: 100000\r\n\r\n[", tokenA, batchType)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return srv.inFlight(t) == 64 }, 10*time.Second, time.Millisecond)
	require.Equal(t, http.StatusAccepted, srv.postAs(t, tokenB, ofOrg(orgB, "message", "c1")).status)
	require.Equal(t, http.StatusAccepted, srv.postAs(t, tokenA, ofOrg(orgA, "message", "c1")).status)
}

func TestRequestBytesAreLimited(t *testing.T) {
	smallBody := func(o *receiver.Options) { o.Limits.Body = 1000 }
	srv := startForTwo(t, "requestBytes: 100000", smallBody)
	for range 3 {
		connection := srv.dial(t)
		_, err := fmt.Fprintf(connection, "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: %s\r\nContent-Length: 2\r\n\r\n[", tokenA, batchType)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return srv.inFlight(t) == 3 }, 10*time.Second, time.Millisecond)
	requireTooMany(t, srv.postAs(t, tokenA), "used up by the bodies of its requests")
	require.Equal(t, http.StatusAccepted, srv.postAs(t, tokenB).status)

	tiny := startForTwo(t, "requestBytes: 1", smallBody)
	for range 3 {
		require.Equal(t, http.StatusAccepted, tiny.postAs(t, tokenA).status, "one request is always possible")
	}
}

func TestBytesPerSecondAreLimited(t *testing.T) {
	srv := startForTwo(t, "bytesPerSecond: 1", func(o *receiver.Options) { o.Limits.Body = 1000 })
	body := ofOrg(orgA, "message", "c1")
	require.Greater(t, len(body), 333)
	sent := 0
	for srv.postAs(t, tokenA, body).status == http.StatusAccepted {
		sent++
	}
	require.Equal(t, 1000/len(body), sent, "a second's bytes, or the largest body, at once")
	refused := srv.postAs(t, tokenA, body)
	require.Equal(t, http.StatusTooManyRequests, refused.status)
	require.Contains(t, refused.problem(t).Detail, "1 bytes per second")
	require.Equal(t, http.StatusAccepted, srv.postAs(t, tokenB, ofOrg(orgB, "message", "c1")).status)

	// A body whose length is not known counts when it has arrived.
	request := srv.newRequest(t, structuredType, io.MultiReader(strings.NewReader(body)))
	request.Header.Set("Authorization", "Bearer "+tokenA)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusTooManyRequests, response.StatusCode)
}

func TestConversationsAndTheirBytesAreLimited(t *testing.T) {
	for _, quota := range []string{"conversations: 1", "conversationBytes: 700"} {
		srv := startForTwo(t, quota, shortAccept)
		require.Equal(t, http.StatusAccepted, srv.postAs(t, tokenA, ofOrg(orgA, "message", "c1")).status)
		require.Equal(t, http.StatusTooManyRequests, srv.postAs(t, tokenA, ofOrg(orgA, "message", "c2")).status, quota)
		require.Equal(t, http.StatusAccepted, srv.postAs(t, tokenA, ofOrg(orgA, "message", "c1")).status)
		require.Equal(t, http.StatusAccepted, srv.postAs(t, tokenB, ofOrg(orgB, "message", "c2")).status)
	}
}
