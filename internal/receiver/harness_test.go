package receiver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"sessionkeeper/internal/access"
	"sessionkeeper/internal/receiver"
	"sessionkeeper/internal/telemetry"
	"sessionkeeper/internal/temporaltest"
	"sessionkeeper/sender"
)

const (
	token          = "first-token-of-the-test"
	phone          = "+15550100001"
	session        = "0Mw000000000001"
	structuredType = "application/cloudevents+json"
	batchType      = "application/cloudevents-batch+json"
)

// testServer is a running server that uses a stand-in for Temporal.
type testServer struct {
	temporal           *temporaltest.Server
	url, monitoringURL string
	log                *logBuffer
	// stop stops it gracefully. Then result gets what Run returned.
	stop   context.CancelFunc
	result <-chan error
}

// startServer starts a server. A test may change its options.
func startServer(t testing.TB, changes ...func(*receiver.Options)) *testServer {
	t.Helper()
	tokens, err := access.ParseTokens(tokenLine("router", token, "all"))
	require.NoError(t, err)
	srv := &testServer{temporal: temporaltest.Start(t), log: &logBuffer{}}
	logger, err := telemetry.NewLogger(srv.log, "json", "info")
	require.NoError(t, err)
	started := make(chan [2]string, 1)
	o := receiver.Options{
		Temporal: client.Options{
			HostPort: srv.temporal.Addr,
			ConnectionOptions: client.ConnectionOptions{
				DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(healthy)},
			},
		},
		Listener: access.Listener{Address: "127.0.0.1:0"}, MetricsListen: "127.0.0.1:0", Tokens: tokens,
		DrainTimeout: 100 * time.Millisecond,
		Logger:       logger,
		Started:      func(address, metricsAddress string) { started <- [2]string{address, metricsAddress} },
	}
	for _, change := range changes {
		change(&o)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	result := make(chan error, 1)
	go func() {
		result <- receiver.Run(ctx, o)
		close(result)
	}()
	srv.stop, srv.result = stop, result
	t.Cleanup(func() {
		stop()
		for range result {
			continue // only tests that stop the server check the result
		}
	})
	select {
	case addresses := <-started:
		srv.url, srv.monitoringURL = "http://"+addresses[0], "http://"+addresses[1]
	case err := <-result:
		require.NoError(t, err)
	}
	return srv
}

// healthy answers the health check, which the stand-in does not have, as long as the
// stand-in can be reached.
func healthy(
	ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker,
	options ...grpc.CallOption,
) error {
	health, ok := reply.(*grpc_health_v1.HealthCheckResponse)
	if !ok {
		return invoke(ctx, method, request, reply, connection, options...)
	}
	health.Status = grpc_health_v1.HealthCheckResponse_SERVING
	return invoke(ctx, "/temporal.api.workflowservice.v1.WorkflowService/GetSystemInfo",
		&workflowservice.GetSystemInfoRequest{}, &workflowservice.GetSystemInfoResponse{}, connection, options...)
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logBuffer) count(part string) int { return strings.Count(l.String(), part) }

// httpResponse is the response to a request.
type httpResponse struct {
	status int
	header http.Header
	body   string
}

func (r httpResponse) problem(t testing.TB) problem {
	t.Helper()
	require.Equal(t, "application/problem+json", r.header.Get("Content-Type"))
	require.NotContains(t, r.body, phone[1:], "personal data in a response")
	var p problem
	require.NoError(t, json.Unmarshal([]byte(r.body), &p))
	require.Equal(t, r.status, p.Status)
	require.Equal(t, http.StatusText(r.status), p.Title)
	return p
}

type problem struct {
	Title, Detail string
	Status        int
	Errors        []struct {
		Index          *int
		Field, Problem string
	}
	Receipts map[sender.Receipt]int
}

type accepted struct {
	Accepted int
	Receipts map[sender.Receipt]int
}

func (r httpResponse) accepted(t testing.TB) accepted {
	t.Helper()
	require.Equal(t, http.StatusAccepted, r.status, r.body)
	var body accepted
	require.NoError(t, json.Unmarshal([]byte(r.body), &body))
	return body
}

// do sends a request, and records the exchange. The request has the token, and asks for
// JSON, unless headers replace that.
func (srv *testServer) do(t testing.TB, method, path string, body io.Reader, headers ...string) httpResponse {
	t.Helper()
	return srv.doThen(t, record, method, path, body, headers...)
}

// doUndescribed is do for a request that OpenAPI cannot describe.
func (srv *testServer) doUndescribed(t testing.TB, method, path string, body io.Reader, headers ...string) httpResponse {
	t.Helper()
	notRecorded := func(testing.TB, *http.Request, []byte, *http.Response, []byte) {}
	return srv.doThen(t, notRecorded, method, path, body, headers...)
}

func (srv *testServer) doThen(
	t testing.TB, record func(testing.TB, *http.Request, []byte, *http.Response, []byte),
	method, path string, body io.Reader, headers ...string,
) httpResponse {
	t.Helper()
	text, err := io.ReadAll(body)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), method, srv.url+path, bytes.NewReader(text))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Accept", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	record(t, request, text, response, received)
	return httpResponse{status: response.StatusCode, header: response.Header, body: string(received)}
}

// newRequest returns a POST of events with the token.
func (srv *testServer) newRequest(t testing.TB, mediaType string, body io.Reader) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.url+"/v1/events", body)
	require.NoError(t, err)
	request.Header.Set("Content-Type", mediaType)
	request.Header.Set("Authorization", "Bearer "+token)
	return request
}

func (srv *testServer) post(t testing.TB, mediaType, body string) httpResponse {
	t.Helper()
	return srv.do(t, http.MethodPost, "/v1/events", strings.NewReader(body), "Content-Type", mediaType)
}

func (srv *testServer) get(t testing.TB, path string, headers ...string) httpResponse {
	t.Helper()
	return srv.do(t, http.MethodGet, path, http.NoBody, headers...)
}

// postInBackground sends a message in another goroutine. The channel gets the status
// of the response, or is closed without one.
func (srv *testServer) postInBackground(t testing.TB, conversation string) <-chan int {
	t.Helper()
	return srv.doInBackground(t, http.MethodPost, "/v1/events", message(conversation))
}

// doInBackground sends a request in another goroutine. The channel gets the status of
// the response, or is closed without one.
func (srv *testServer) doInBackground(t testing.TB, method, path, body string) <-chan int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, srv.url+path, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", structuredType)
	request.Header.Set("Authorization", "Bearer "+token)
	status := make(chan int, 1)
	go func() {
		defer close(status)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return
		}
		defer response.Body.Close()
		status <- response.StatusCode
	}()
	return status
}

// getMonitoring sends a request to the listener of health and metrics.
func (srv *testServer) getMonitoring(t testing.TB, path string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.monitoringURL+path, http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

// inFlight returns the number of requests in flight.
func (srv *testServer) inFlight(t *testing.T) (n int) {
	t.Helper()
	_, text := srv.getMonitoring(t, "/metrics")
	_, after, _ := strings.Cut(text, "\nsessionkeeper_http_requests_in_flight ")
	_, err := fmt.Sscan(after, &n)
	require.NoError(t, err)
	return n
}

func (srv *testServer) dial(t *testing.T) net.Conn {
	t.Helper()
	var dialer net.Dialer
	connection, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(srv.url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// writePartially writes a POST of events whose body is shorter than its Content-Length.
func writePartially(t *testing.T, to io.Writer, mediaType string, length int, body string) {
	t.Helper()
	_, err := fmt.Fprintf(to, "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: %s\r\nContent-Length: %d\r\n\r\n%s", token, mediaType, length, body)
	require.NoError(t, err)
}

// data returns the data of an event of a conversation.
func data(conversation string) string {
	return fmt.Sprintf(`{"orgId":"00D000000000001","authorizationContext":"Partner1_ChannelDefinition1",`+
		`"channelAddressIdentifier":"8f5d","endUserClientId":%q,"conversationIdentifier":%q,"sessionId":%q}`,
		phone, conversation, session)
}

// event returns an event of a type, such as "message", with a time.
func event(kind, conversation string, at time.Time) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"e","source":"/r","type":"sessionkeeper.conversation.%s",`+
		`"time":%q,"data":%s}`, kind, at.Format(time.RFC3339Nano), data(conversation))
}

func message(conversation string) string { return event("message", conversation, time.Now()) }

func batch(events ...string) string { return "[" + strings.Join(events, ",") + "]" }

// signals returns the names of the signals that a conversation got.
func (srv *testServer) signals(conversation string) (names []string) {
	for _, call := range srv.temporal.Calls() {
		if call.WorkflowID == "00D000000000001:"+conversation && call.Name != "" {
			names = append(names, call.Name)
		}
	}
	return names
}

// shortAccept makes a test of an outage short.
func shortAccept(o *receiver.Options) { o.Limits.Accept = 500 * time.Millisecond }
