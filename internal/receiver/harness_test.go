package receiver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
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

	"sessionkeeper/internal/receiver"
	"sessionkeeper/internal/temporaltest"
	"sessionkeeper/sender"
)

const (
	token   = "first-token-of-the-test"
	phone   = "+15550100001"
	session = "0Mw000000000001"
	one     = "application/cloudevents+json"
	many    = "application/cloudevents-batch+json"
)

// door is a running server, with a stand-in for Temporal behind it.
type door struct {
	temporal    *temporaltest.Server
	url, health string
	log         *logged
	// stop has it drain, and ended has what Run returned.
	stop  context.CancelFunc
	ended <-chan error
}

// open starts a server. A test may change its options.
func open(t testing.TB, changes ...func(*receiver.Options)) *door {
	t.Helper()
	tokens, err := receiver.ParseTokens(token)
	require.NoError(t, err)
	d := &door{temporal: temporaltest.Start(t), log: &logged{}}
	started := make(chan [2]string, 1)
	o := receiver.Options{
		Temporal: client.Options{
			HostPort:          d.temporal.Addr,
			ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(healthy)}},
		},
		Listen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0", Tokens: tokens,
		DrainTimeout: 100 * time.Millisecond,
		Logger:       slog.New(slog.NewJSONHandler(d.log, nil)),
		Started:      func(door, metrics string) { started <- [2]string{door, metrics} },
	}
	for _, change := range changes {
		change(&o)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() {
		ended <- receiver.Run(ctx, o)
		close(ended)
	}()
	d.stop, d.ended = stop, ended
	t.Cleanup(func() {
		stop()
		for range ended {
			continue // what it returned is for the test that asked it to stop
		}
	})
	select {
	case at := <-started:
		d.url, d.health = "http://"+at[0], "http://"+at[1]
	case err := <-ended:
		require.NoError(t, err)
	}
	return d
}

// healthy answers the health check for the stand-in, which has none, when that
// can be reached.
func healthy(ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	answer, ok := reply.(*grpc_health_v1.HealthCheckResponse)
	if !ok {
		return invoke(ctx, method, request, reply, connection, options...)
	}
	answer.Status = grpc_health_v1.HealthCheckResponse_SERVING
	return invoke(ctx, "/temporal.api.workflowservice.v1.WorkflowService/GetSystemInfo",
		&workflowservice.GetSystemInfoRequest{}, &workflowservice.GetSystemInfoResponse{}, connection, options...)
}

// logged is what was logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) count(part string) int { return strings.Count(l.String(), part) }

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) problem(t testing.TB) problem {
	t.Helper()
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	require.NotContains(t, a.body, phone[1:], "personal data in an answer")
	var p problem
	require.NoError(t, json.Unmarshal([]byte(a.body), &p))
	require.Equal(t, a.status, p.Status)
	require.Equal(t, http.StatusText(a.status), p.Title)
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

// later sends a message from another goroutine, and tells the status, 0 without
// an answer.
func (d *door) later(t testing.TB, conversation string) <-chan int {
	t.Helper()
	return d.background(t, http.MethodPost, "/v1/events", message(conversation))
}

// background sends a request that may take its time, and tells the status of its
// answer.
func (d *door) background(t testing.TB, method, path, body string) <-chan int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, d.url+path, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", one)
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

// do sends a request, with the token unless the headers say otherwise, and checks
// the answer against the description.
func (d *door) do(t testing.TB, method, path string, body io.Reader, headers ...string) answer {
	t.Helper()
	text, err := io.ReadAll(body)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), method, d.url+path, bytes.NewReader(text))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	request.Body = io.NopCloser(bytes.NewReader(text))
	response.Body = io.NopCloser(bytes.NewReader(said))
	described(t, request, response)
	return answer{status: response.StatusCode, header: response.Header, body: string(said)}
}

func (d *door) post(t testing.TB, mediaType, body string) answer {
	t.Helper()
	return d.do(t, http.MethodPost, "/v1/events", strings.NewReader(body), "Content-Type", mediaType)
}

func (d *door) get(t testing.TB, path string, headers ...string) answer {
	t.Helper()
	return d.do(t, http.MethodGet, path, http.NoBody, headers...)
}

// ask asks the second listener, which needs no token.
func (d *door) ask(t testing.TB, path string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.health+path, http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(said)
}

// data is that of an event of a conversation.
func data(conversation string) string {
	return fmt.Sprintf(`{"orgId":"00D000000000001","authorizationContext":"Partner1_ChannelDefinition1","channelAddressIdentifier":"8f5d",`+
		`"endUserClientId":%q,"conversationIdentifier":%q,"sessionId":%q}`, phone, conversation, session)
}

// event is one of a kind, such as "message", that happened at a time.
func event(kind, conversation string, at time.Time) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"e","source":"/r","type":"sessionkeeper.conversation.%s","time":%q,"data":%s}`,
		kind, at.Format(time.RFC3339Nano), data(conversation))
}

func message(conversation string) string { return event("message", conversation, time.Now()) }

func batch(events ...string) string { return "[" + strings.Join(events, ",") + "]" }

// told are the names of the signals that a conversation got.
func (d *door) told(conversation string) (names []string) {
	for _, call := range d.temporal.Calls() {
		if call.WorkflowID == "00D000000000001:"+conversation && call.Name != "" {
			names = append(names, call.Name)
		}
	}
	return names
}

// soon makes a test of an outage short.
func soon(o *receiver.Options) { o.Limits.Accept = 200 * time.Millisecond }
