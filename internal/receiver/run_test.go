package receiver_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/receiver"
	"sessionkeeper/sender"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Without an instance that is ready, clients would get no answer at all.
func TestItStaysReadyWhileTemporalIsAway(t *testing.T) {
	d := open(t, soon)
	ready := func(status int, said string) {
		t.Helper()
		code, body := d.ask(t, "/readyz")
		require.Equal(t, status, code)
		require.Contains(t, body, said)
		code, body = d.ask(t, "/healthz")
		require.Equal(t, http.StatusOK, code, "waiting for Temporal is no reason to restart")
		require.Equal(t, "ok\n", body)
	}
	d.temporal.Stop()
	ready(http.StatusServiceUnavailable, "not ready: check Temporal: ")
	d.temporal.Resume(t)
	require.Eventually(t, func() bool {
		code, _ := d.ask(t, "/readyz")
		return code == http.StatusOK
	}, 30*time.Second, 10*time.Millisecond)
	d.temporal.Stop()
	ready(http.StatusOK, "ready\n")
	require.Equal(t, http.StatusServiceUnavailable, d.post(t, one, message("c1")).status)
}

func TestItStartsWhileTemporalIsAway(t *testing.T) {
	d := open(t, soon, func(o *receiver.Options) { o.Temporal.HostPort = "127.0.0.1:1" })
	require.Equal(t, http.StatusServiceUnavailable, d.post(t, one, message("c1")).status)
	code, _ := d.ask(t, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
}

func TestMetrics(t *testing.T) {
	d := open(t)
	d.post(t, many, batch(event("started", "c1", time.Now()), message("c1"), message("c2")))
	d.post(t, one, "bad")
	d.get(t, "/nowhere")
	code, text := d.ask(t, "/metrics")
	require.Equal(t, http.StatusOK, code)
	for _, line := range []string{
		`sessionkeeper_http_requests_total{code="202",route="/v1/events"} 1`,
		`sessionkeeper_http_requests_total{code="400",route="/v1/events"} 1`,
		`sessionkeeper_http_requests_total{code="404",route="other"} 1`,
		`sessionkeeper_http_request_duration_seconds_count{route="/v1/events"} 2`,
		`sessionkeeper_events_total{receipt="sent",type="started"} 1`,
		`sessionkeeper_events_total{receipt="sent",type="message"} 1`,
		`sessionkeeper_events_total{receipt="absorbed",type="message"} 1`,
		`sessionkeeper_sender_absorbed_total 1`,
		`sessionkeeper_sender_reports_total 2`,
		`sessionkeeper_sender_report_failures_total 0`,
		`sessionkeeper_sender_conversations 2`,
		`sessionkeeper_sender_unreported_conversations 1`,
	} {
		require.Contains(t, text, "\n"+line+"\n")
	}
	require.Contains(t, text, "temporal_request_latency", "the SDK's own")
	require.NotContains(t, text, phone[1:])
	require.NotContains(t, text, "c1")
}

func TestAStopFinishesWhatIsUnderWay(t *testing.T) {
	d := open(t, func(o *receiver.Options) { o.DrainTimeout = receiver.DefaultDrainTimeout })
	d.post(t, many, batch(message("c1"), message("c1"))).accepted(t)
	release, arrived := make(chan struct{}), make(chan struct{}, 100)
	d.temporal.Fail(func(method string) error {
		if method == "SignalWithStartWorkflowExecution" {
			arrived <- struct{}{}
			<-release
		}
		return nil
	})
	underWay := d.later(t, "c2")
	<-arrived
	d.stop()
	require.Eventually(t, func() bool {
		var dialer net.Dialer
		connection, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(d.url, "http://"))
		if err == nil {
			_ = connection.Close()
		}
		return err != nil
	}, 10*time.Second, time.Millisecond, "it takes no more requests")
	code, body := d.ask(t, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "not ready: stopping\n", body)
	close(release)
	require.Equal(t, http.StatusAccepted, <-underWay)
	require.NoError(t, <-d.ended)
	require.Equal(t, []string{conversation.SignalMessage, conversation.SignalMessage}, d.told("c1"), "what was absorbed is reported")
	calls := d.temporal.Calls()
	for _, call := range calls[len(calls)-2:] {
		require.NotContains(t, string(call.Payload), `"window"`, "promises are taken back")
	}
}

func TestAStopSaysWhatIsLeft(t *testing.T) {
	d := open(t, func(o *receiver.Options) { o.DrainTimeout = 50 * time.Millisecond })
	d.post(t, many, batch(message("c1"), message("c1"), message("c2"))).accepted(t)
	d.temporal.Stop()
	d.stop()
	err := <-d.ended
	var left *receiver.UndrainedError
	require.ErrorAs(t, err, &left)
	require.False(t, left.Cut)
	var unreported *sender.UndrainedError
	require.ErrorAs(t, err, &unreported)
	require.Equal(t, 1, unreported.Unreported)
	require.ErrorContains(t, err, "2 conversations left, 1 of them with a message that is not reported")
}

func TestAStopDoesNotWaitForeverForRequests(t *testing.T) {
	d := open(t, func(o *receiver.Options) { o.DrainTimeout = 50 * time.Millisecond })
	connection := d.dial(t)
	_, err := fmt.Fprintf(connection, "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: 9\r\n\r\nhalf", token, one)
	require.NoError(t, err)
	// It is under way once the bound counts it; another request shows that the
	// server has read on.
	d.get(t, "/v1/conversations/00D000000000001/c1")
	require.Eventually(t, func() bool { return d.inFlight(t) == 1 }, 10*time.Second, time.Millisecond)
	d.stop()
	var left *receiver.UndrainedError
	require.ErrorAs(t, <-d.ended, &left)
	require.True(t, left.Cut)
	require.EqualError(t, left, "requests under way were cut off")
}

func (d *door) dial(t *testing.T) net.Conn {
	t.Helper()
	var dialer net.Dialer
	connection, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(d.url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// inFlight is the number of requests under way.
func (d *door) inFlight(t *testing.T) (n int) {
	t.Helper()
	_, text := d.ask(t, "/metrics")
	_, after, _ := strings.Cut(text, "\nsessionkeeper_http_requests_in_flight ")
	_, err := fmt.Sscan(after, &n)
	require.NoError(t, err)
	return n
}

func TestASlowClientIsCutOff(t *testing.T) {
	d := open(t, func(o *receiver.Options) { o.Limits.Read = 50 * time.Millisecond })
	connection := d.dial(t)
	_, err := fmt.Fprintf(connection, "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: 9\r\n\r\nhalf", token, one)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+"/v1/events", http.NoBody)
	require.NoError(t, err)
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusRequestTimeout, response.StatusCode)
	described(t, request, response)
	_, err = reader.ReadByte()
	require.ErrorIs(t, err, io.EOF, "the connection is closed")

	silent := d.dial(t)
	_, err = fmt.Fprint(silent, "POST /v1/ev")
	require.NoError(t, err)
	_, err = io.ReadAll(silent)
	require.NoError(t, err, "the connection is closed")
}

// A time to read that is shorter than the time to accept does not make the
// server believe that the client has gone.
func TestASlowAcceptanceIsWaitedFor(t *testing.T) {
	d := open(t, func(o *receiver.Options) { o.Limits.Read = 100 * time.Millisecond })
	began := time.Now()
	d.temporal.Fail(func(method string) error {
		for method == "SignalWithStartWorkflowExecution" && time.Since(began) < 300*time.Millisecond {
			<-time.After(10 * time.Millisecond)
		}
		return nil
	})
	require.Equal(t, http.StatusAccepted, d.post(t, one, message("c1")).status)
}

func TestABodyThatNeverEndsIsRefused(t *testing.T) {
	d := open(t, func(o *receiver.Options) { o.Limits.Body = 10_000 })
	endless := io.MultiReader(strings.NewReader("["), forever{})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+"/v1/events", endless)
	require.NoError(t, err)
	request.Header.Set("Content-Type", many)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		// The server may close the connection while the client still writes.
		require.ErrorContains(t, err, "connection")
		return
	}
	defer response.Body.Close()
	require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
}

// A length is refused before room is made for it.
func TestAHugeLengthIsRefused(t *testing.T) {
	d := open(t)
	connection := d.dial(t)
	_, err := fmt.Fprintf(connection, "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n[", token, many, math.MaxInt64)
	require.NoError(t, err)
	line, err := bufio.NewReader(connection).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 413 Request Entity Too Large\r\n", line)
}

type forever struct{}

func (forever) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestListenersThatCannotBe(t *testing.T) {
	taken := open(t)
	address := strings.TrimPrefix(taken.url, "http://")
	run := func(change func(*receiver.Options)) error {
		o := receiver.Options{Listen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0", Logger: quiet()}
		change(&o)
		return receiver.Run(t.Context(), o)
	}
	require.ErrorContains(t, run(func(o *receiver.Options) { o.Listen = address }), "listen for events: listen tcp "+address)
	require.ErrorContains(t, run(func(o *receiver.Options) { o.MetricsListen = address }), "listen for health and metrics: listen tcp "+address)
	require.ErrorContains(t, run(func(o *receiver.Options) { o.Key = "key.pem" }), "want both a TLS certificate and its key")
	require.ErrorContains(t, run(func(o *receiver.Options) { o.Certificate, o.Key = "none", "none" }), "load the TLS certificate: open none")
}

// certify writes a new certificate and its key into a folder.
func certify(t *testing.T, dir string) (certificate []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cert"), certificate, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return certificate
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certificate := certify(t, dir)
	d := open(t, func(o *receiver.Options) {
		o.Certificate, o.Key = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	})
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(certificate))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, strings.Replace(d.url, "http:", "https:", 1)+"/v1/events", strings.NewReader(message("c1")))
	require.NoError(t, err)
	request.Header.Set("Content-Type", one)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := transport.RoundTrip(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusAccepted, response.StatusCode)
}

func TestACertificateIsRenewedWithoutAnInterruption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, said := t.TempDir(), &logged{}
		first := certify(t, dir)
		present, err := receiver.Present(filepath.Join(dir, "cert"), filepath.Join(dir, "key"), slog.New(slog.NewTextHandler(said, nil)))
		require.NoError(t, err)
		presents := func(want []byte) {
			t.Helper()
			got, err := present(nil)
			require.NoError(t, err)
			require.Equal(t, string(want), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: got.Certificate[0]})))
		}
		presents(first)
		second := certify(t, dir)
		presents(first)
		time.Sleep(time.Minute)
		presents(second)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), nil, 0o600))
		time.Sleep(time.Minute)
		presents(second)
		require.Equal(t, 1, said.count("The TLS certificate stays as it is"))
	})
}
