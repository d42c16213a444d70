package receiver_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/access"
	"sessionkeeper/internal/receiver"
	"sessionkeeper/sender"
)

func TestStartWhileTemporalIsUnreachable(t *testing.T) {
	srv := startServer(t, shortAccept, func(o *receiver.Options) { o.Temporal.HostPort = "127.0.0.1:1" })
	require.Equal(t, http.StatusServiceUnavailable, srv.post(t, structuredType, message("c1")).status)
	code, _ := srv.getMonitoring(t, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
}

func TestInvalidListeners(t *testing.T) {
	running := startServer(t)
	address := strings.TrimPrefix(running.url, "http://")
	for want, change := range map[string]func(*receiver.Options){
		"listen for events: listen tcp " + address: func(o *receiver.Options) {
			o.Listener.Address = address
		},
		"listen for health and metrics: listen tcp " + address: func(o *receiver.Options) {
			o.MetricsListen = address
		},
		"want both a TLS certificate and its key": func(o *receiver.Options) {
			o.Listener.Key = "key.pem"
		},
		"load the TLS certificate: open none": func(o *receiver.Options) {
			o.Listener.Certificate, o.Listener.Key = "none", "none"
		},
	} {
		o := receiver.Options{Listener: access.Listener{Address: "127.0.0.1:0"}, MetricsListen: "127.0.0.1:0", Logger: zap.NewNop()}
		change(&o)
		require.ErrorContains(t, receiver.Run(t.Context(), o), want)
	}
}

func TestNoTokensOnLoopbackOnly(t *testing.T) {
	srv := startServer(t, func(o *receiver.Options) { o.Tokens = nil })
	request := srv.newRequest(t, structuredType, strings.NewReader(message("c1")))
	request.Header.Del("Authorization")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusAccepted, response.StatusCode)

	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0"} {
		o := receiver.Options{Listener: access.Listener{Address: address}, MetricsListen: "127.0.0.1:0", Logger: zap.NewNop()}
		require.ErrorContains(t, receiver.Run(t.Context(), o), "without tokens want a loopback address")
	}
}

func TestStopFinishesRequestsAndReportsMessages(t *testing.T) {
	srv := startServer(t, func(o *receiver.Options) { o.DrainTimeout = receiver.DefaultDrainTimeout })
	srv.post(t, batchType, batch(message("c1"), message("c1"))).accepted(t)
	release, arrived := make(chan struct{}), make(chan struct{}, 100)
	srv.temporal.Fail(func(method string) error {
		if method == "SignalWithStartWorkflowExecution" {
			arrived <- struct{}{}
			<-release
		}
		return nil
	})
	inFlight := srv.postInBackground(t, "c2")
	<-arrived
	srv.stop()
	require.Eventually(t, func() bool {
		var dialer net.Dialer
		connection, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(srv.url, "http://"))
		if err == nil {
			_ = connection.Close()
		}
		return err != nil
	}, 10*time.Second, time.Millisecond, "the server accepts no further requests")
	code, body := srv.getMonitoring(t, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "not ready: stopping\n", body)
	close(release)
	require.Equal(t, http.StatusAccepted, <-inFlight)
	require.NoError(t, <-srv.result)
	require.Equal(t, []string{conversation.SignalMessage, conversation.SignalMessage}, srv.signals("c1"),
		"the absorbed message is reported")
	calls := srv.temporal.Calls()
	for _, call := range calls[len(calls)-2:] {
		require.NotContains(t, string(call.Payload), `"duration"`, "leases are released")
	}
}

func TestStopReturnsUndrainedError(t *testing.T) {
	srv := startServer(t, func(o *receiver.Options) { o.DrainTimeout = 500 * time.Millisecond })
	srv.post(t, batchType, batch(message("c1"), message("c1"), message("c2"))).accepted(t)
	srv.temporal.Stop()
	srv.stop()
	err := <-srv.result
	var undrained *receiver.UndrainedError
	require.ErrorAs(t, err, &undrained)
	require.False(t, undrained.Cut)
	var unreported *sender.UndrainedError
	require.ErrorAs(t, err, &unreported)
	require.Equal(t, 1, unreported.Unreported)
	require.ErrorContains(t, err, "2 conversations left, 1 of them with an unreported message")
}

func TestStopClosesConnectionsAfterTimeout(t *testing.T) {
	srv := startServer(t, func(o *receiver.Options) { o.DrainTimeout = 50 * time.Millisecond })
	connection := srv.dial(t)
	writePartially(t, connection, structuredType, 9, "half")
	// The server may not have read the request yet. Another request gives it time.
	srv.get(t, "/v1/conversations/00D000000000001/c1")
	require.Eventually(t, func() bool { return srv.inFlight(t) == 1 }, 10*time.Second, time.Millisecond)
	srv.stop()
	var undrained *receiver.UndrainedError
	require.ErrorAs(t, <-srv.result, &undrained)
	require.True(t, undrained.Cut)
	require.EqualError(t, undrained, "connections with requests in flight were closed")
}

func TestSlowClientIsDisconnected(t *testing.T) {
	srv := startServer(t, func(o *receiver.Options) { o.Limits.Read = 50 * time.Millisecond })
	connection := srv.dial(t)
	writePartially(t, connection, structuredType, 9, "half")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.url+"/v1/events", http.NoBody)
	require.NoError(t, err)
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestTimeout, response.StatusCode)
	record(t, request, nil, response, body)
	_, err = reader.ReadByte()
	require.ErrorIs(t, err, io.EOF, "the connection is closed")

	idle := srv.dial(t)
	_, err = fmt.Fprint(idle, "POST /v1/ev")
	require.NoError(t, err)
	_, err = io.ReadAll(idle)
	require.NoError(t, err, "the connection is closed")
}

// Limits.Read may be shorter than Limits.Accept: the server must not take the client
// for disconnected after Limits.Read.
func TestReadTimeoutDoesNotBoundAccept(t *testing.T) {
	srv := startServer(t, func(o *receiver.Options) { o.Limits.Read = 300 * time.Millisecond })
	began := time.Now()
	srv.temporal.Fail(func(method string) error {
		if method == "SignalWithStartWorkflowExecution" {
			<-time.After(time.Until(began.Add(600 * time.Millisecond)))
		}
		return nil
	})
	require.Equal(t, http.StatusAccepted, srv.post(t, structuredType, message("c1")).status)
}
