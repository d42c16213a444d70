package interaction_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/interaction"
)

// rawServer responds to one request on a TCP connection. It returns the text of the
// request.
func rawServer(t *testing.T, response string) (url string, received <-chan string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	requests := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		reader := bufio.NewReader(conn)
		var text strings.Builder
		length := 0
		for {
			line, err := reader.ReadString('\n')
			if err != nil {
				return
			}
			text.WriteString(line)
			if name, value, _ := strings.Cut(line, ": "); name == "Content-Length" {
				for _, digit := range strings.TrimSpace(value) {
					length = length*10 + int(digit-'0')
				}
			}
			if line == "\r\n" {
				break
			}
		}
		body, err := io.ReadAll(io.LimitReader(reader, int64(length)))
		if err != nil {
			return
		}
		requests <- text.String() + string(body)
		_, _ = io.WriteString(conn, response)
	}()
	return "http://" + listener.Addr().String(), requests
}

const rawSuccess = "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"success\":true}"

func TestRequestAsSent(t *testing.T) {
	url, received := rawServer(t, rawSuccess)
	client := newClient(t, url+"/", newTokens(), interaction.ClientOptions{Version: "1.2.3"})
	response, err := client.MessagingSession(t.Context(), validRequest())
	require.NoError(t, err)
	require.Equal(t, interaction.Response{RequestID: validRequest().RequestID, HTTPStatus: 200, Requests: 1}, response)

	head, body, _ := strings.Cut(receive(t, received), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	require.Equal(t, "POST /api/v1/messagingSession HTTP/1.1", lines[0])
	headers := slices.DeleteFunc(lines[1:], func(line string) bool {
		return strings.HasPrefix(line, "Host: ") || strings.HasPrefix(line, "Content-Length: ")
	})
	require.ElementsMatch(t, []string{
		"Authorization: Bearer token-one",
		"Content-Type: application/json",
		"OrgId: 00D000000000001",
		"RequestId: 6ba7b810-9dad-41d1-80b4-00c04fd430c8",
		"AuthorizationContext: Partner1_ChannelDefinition1",
		"User-Agent: sessionkeeper/1.2.3",
	}, headers)
	require.JSONEq(t, `{
		"channelAddressIdentifier": "5a1b0c7e-0f52-4c4c-8df7-1f4c0a6d3b11",
		"endUserClientId": "+44 7700\"900123",
		"conversationIdentifier": "conversation-1",
		"sessionId": "0Mw000000000001",
		"operation": "End",
		"operationBy": "EndUser"
	}`, body)
}

func TestEmptyOptionalFieldsAreLeftOut(t *testing.T) {
	url, received := rawServer(t, rawSuccess)
	request := validRequest()
	request.SessionID, request.OperationBy = "", ""
	_, err := newClient(t, url, newTokens(), interaction.ClientOptions{}).MessagingSession(t.Context(), request)
	require.NoError(t, err)
	_, body, _ := strings.Cut(receive(t, received), "\r\n\r\n")
	require.NotContains(t, body, "sessionId")
	require.NotContains(t, body, "operationBy")
}

func TestRejectedTokenIsRenewedOnce(t *testing.T) {
	for name, rejection := range map[string]http.HandlerFunc{
		"401":               respond(401, ``),
		"401 with REST API": respond(401, `[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]`),
		"403":               respond(403, `{"code":10001,"message":"no"}`),
		"code 10004":        respond(400, `{"code":10004,"message":"invalid token"}`),
		"code as text":      respond(500, `{"code":"10004","message":"invalid token"}`),
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, rejection, success)
			tokens := newTokens()
			response, err := newClient(t, server.URL, tokens, interaction.ClientOptions{}).
				MessagingSession(t.Context(), validRequest())
			require.NoError(t, err)
			resent := interaction.ResendID(validRequest().RequestID)
			require.Equal(t, interaction.Response{RequestID: resent, HTTPStatus: 200, Requests: 2}, response)
			require.Equal(t, []string{"token-one"}, tokens.rejected)

			requests := server.requests()
			require.Len(t, requests, 2)
			require.Equal(t, "Bearer token-one", requests[0].Get("Authorization"))
			require.Equal(t, "Bearer token-two", requests[1].Get("Authorization"))
			require.Equal(t, validRequest().RequestID.String(), requests[0].Get("RequestId"))
			require.Equal(t, resent.String(), requests[1].Get("RequestId"))
		})
	}
}

func TestSecondRejectionIsReturned(t *testing.T) {
	server := serve(t, respond(401, `{"code":10004,"message":"invalid token"}`))
	tokens := &scriptedTokens{first: "same", renewals: []string{"same", "another"}}
	failure := callError(t, newClient(t, server.URL, tokens, interaction.ClientOptions{}))
	require.Len(t, server.requests(), 2, "the same token is sent again, but not a third time")
	require.Equal(t, 401, failure.HTTPStatus)
	require.Equal(t, "10004", failure.Code)
	require.Equal(t, 2, failure.Requests)
	require.Equal(t, interaction.ResendID(validRequest().RequestID), failure.RequestID)
}

// movedOn is a token source whose token was replaced while a call was made.
type movedOn struct{ scriptedTokens }

func (m *movedOn) Token(context.Context) (string, error) {
	token := m.first
	m.first = "token-of-now"
	return token, nil
}

func TestTokenThatWasReplacedMeanwhileIsNotRenewed(t *testing.T) {
	server := serve(t, respond(401, ``), success)
	tokens := &movedOn{scriptedTokens{first: "token-of-then"}}
	_, err := newClient(t, server.URL, tokens, interaction.ClientOptions{}).MessagingSession(t.Context(), validRequest())
	require.NoError(t, err)
	require.Equal(t, "Bearer token-of-now", server.requests()[1].Get("Authorization"))
	require.Empty(t, tokens.rejected)
}

func TestOtherFailuresAreNotResent(t *testing.T) {
	server := serve(t, respond(200, `{"success":false,"errorReason":"PERMISSION_DENIED"}`))
	tokens := newTokens()
	failure := callError(t, newClient(t, server.URL, tokens, interaction.ClientOptions{}))
	require.Equal(t, interaction.ReasonPermissionDenied, failure.Reason)
	require.Len(t, server.requests(), 1)
	require.Empty(t, tokens.rejected)
}

func TestTokenSourceFails(t *testing.T) {
	rejected := &interaction.TokenError{
		HTTPStatus: 400, Code: "invalid_grant",
		Description: "user hasn't approved this consumer",
	}

	t.Run("at first", func(t *testing.T) {
		server := serve(t, success)
		failure := callError(t, newClient(t, server.URL, &scriptedTokens{firstErr: rejected}, interaction.ClientOptions{}))
		var tokenError *interaction.TokenError
		require.ErrorAs(t, failure, &tokenError)
		require.Equal(t, "invalid_grant", tokenError.Code)
		require.True(t, failure.NotSent)
		require.Zero(t, failure.HTTPStatus)
		require.Zero(t, failure.Requests)
		require.Empty(t, server.requests())
		require.ErrorContains(t, failure, "user hasn't approved this consumer")
	})
	t.Run("after a 401", func(t *testing.T) {
		server := serve(t, respond(401, ``))
		failure := callError(t, newClient(t, server.URL, &scriptedTokens{first: "a", err: rejected},
			interaction.ClientOptions{}))
		require.ErrorIs(t, failure, rejected)
		require.Equal(t, 1, failure.Requests)
	})
	t.Run("after a 403 the 403 is returned", func(t *testing.T) {
		server := serve(t, respond(403, `{"code":10003,"message":"not allowed"}`))
		failure := callError(t, newClient(t, server.URL, &scriptedTokens{first: "a", err: rejected},
			interaction.ClientOptions{}))
		require.Equal(t, 403, failure.HTTPStatus)
		require.Equal(t, "10003", failure.Code)
		require.NoError(t, failure.Err)
	})
	t.Run("unusable token", func(t *testing.T) {
		for _, token := range []string{"", "a\r\nX-Evil: 1", "a b"} {
			server := serve(t, success)
			failure := callError(t, newClient(t, server.URL, &scriptedTokens{first: token}, interaction.ClientOptions{}))
			require.True(t, failure.NotSent)
			require.Empty(t, server.requests())
		}
	})
}

// hang does not respond until the client disconnects or the test ends.
func hang(t *testing.T, begun chan<- struct{}) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		begun <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-t.Context().Done():
		}
	}
}

func TestTimeout(t *testing.T) {
	begun := make(chan struct{}, 1)
	server := serve(t, hang(t, begun))
	failure := callError(t, newClient(t, server.URL, newTokens(),
		interaction.ClientOptions{Timeout: 50 * time.Millisecond}))
	receive(t, begun)
	require.ErrorIs(t, failure, context.DeadlineExceeded)
	require.ErrorContains(t, failure, "no answer within 50ms")
	var netErr net.Error
	require.ErrorAs(t, failure, &netErr)
	require.True(t, netErr.Timeout())
	require.False(t, failure.NotSent)
	require.Zero(t, failure.HTTPStatus)
	require.Equal(t, validRequest().RequestID, failure.RequestID)
	require.Equal(t, interaction.End, failure.Operation)
}

func TestTimeoutInTheBody(t *testing.T) {
	begun := make(chan struct{}, 1)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"succ`)
		_ = http.NewResponseController(w).Flush()
		hang(t, begun)(w, r)
	})
	failure := callError(t, newClient(t, server.URL, newTokens(),
		interaction.ClientOptions{Timeout: 100 * time.Millisecond}))
	require.ErrorIs(t, failure, context.DeadlineExceeded)
	require.NotErrorIs(t, failure, interaction.ErrMalformedResponse)
	require.False(t, failure.NotSent)
	require.Equal(t, 200, failure.HTTPStatus)
}

func TestCallerCancels(t *testing.T) {
	begun := make(chan struct{}, 1)
	server := serve(t, hang(t, begun))
	client := newClient(t, server.URL, newTokens(), interaction.ClientOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 1)
	go func() {
		_, err := client.MessagingSession(ctx, validRequest())
		errs <- err
	}()
	receive(t, begun)
	cancel()
	err := receive(t, errs)
	require.ErrorIs(t, err, context.Canceled)
	require.NotContains(t, err.Error(), "no answer within")
	var failure *interaction.Error
	require.ErrorAs(t, err, &failure)
	require.False(t, failure.NotSent)

	_, err = client.MessagingSession(ctx, validRequest())
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorAs(t, err, &failure)
	require.True(t, failure.NotSent, "cancelled before the call")
	require.Len(t, server.requests(), 1)
}

func TestConnectionFails(t *testing.T) {
	t.Run("after the request", func(t *testing.T) {
		failure := responseError(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		require.False(t, failure.NotSent)
		require.Error(t, failure.Err)
	})
	t.Run("refused", func(t *testing.T) {
		server := serve(t, success)
		server.Close()
		failure := callError(t, newClient(t, server.URL, newTokens(), interaction.ClientOptions{}))
		var opErr *net.OpError
		require.ErrorAs(t, failure, &opErr)
		require.True(t, failure.NotSent)
	})
	t.Run("unknown certificate", func(t *testing.T) {
		server := httptest.NewUnstartedServer(http.HandlerFunc(success))
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		defer server.Close()
		failure := callError(t, newClient(t, server.URL, newTokens(), interaction.ClientOptions{}))
		require.True(t, failure.NotSent)
		require.ErrorContains(t, failure, "certificate")
	})
	t.Run("not HTTP", func(t *testing.T) {
		url, _ := rawServer(t, "garbage "+endUser+" token-one\r\n\r\n")
		failure := callError(t, newClient(t, url, newTokens(), interaction.ClientOptions{}))
		require.False(t, failure.NotSent)
		require.NotContains(t, allFormats(failure), "900123")
		require.NotContains(t, allFormats(failure), "token-one")
	})
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := serve(t, success)
	for _, status := range []int{301, 302, 303, 307, 308} {
		failure := responseError(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, status)
		})
		require.Equal(t, status, failure.HTTPStatus)
		require.ErrorContains(t, failure, "redirect")
	}
	require.Empty(t, elsewhere.requests())
}

func TestHTTP2(t *testing.T) {
	begun := make(chan struct{}, 1)
	protocols := make(chan string, 1)
	var calls atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1:
			protocols <- r.Proto
			success(w, r)
		default:
			hang(t, begun)(w, r)
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	transport := interaction.NewTransport()
	transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	client := newClient(t, server.URL, newTokens(),
		interaction.ClientOptions{Transport: transport, Timeout: 300 * time.Millisecond})

	_, err := client.MessagingSession(t.Context(), validRequest())
	require.NoError(t, err)
	require.Equal(t, "HTTP/2.0", receive(t, protocols))

	failure := callError(t, client)
	require.ErrorIs(t, failure, context.DeadlineExceeded)
	require.False(t, failure.NotSent)
}

func TestConnectionsAreReused(t *testing.T) {
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(nil)
	bodies := []http.HandlerFunc{
		success,
		respond(200, `{"success":false,"errorReason":"END_SESSION_FAILED"}`),
		respond(503, strings.Repeat("x", 60<<10)),
		respond(200, ""),
		respond(200, "{"),
		respond(302, "elsewhere"),
	}
	var calls atomic.Int32
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bodies[int(calls.Add(1)-1)%len(bodies)](w, r)
	})
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	client := newClient(t, server.URL, newTokens(), interaction.ClientOptions{})
	for range 3 * len(bodies) {
		_, _ = client.MessagingSession(t.Context(), validRequest())
	}
	require.EqualValues(t, 1, connections.Load())
}

func TestIdleConnectionsAreReusedByTheNextBurst(t *testing.T) {
	const callers = 48
	var connections, arrived atomic.Int32
	together := make(chan struct{}, callers)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// All requests of a burst wait for the last one, so each needs its own
		// connection.
		if arrived.Add(1)%callers == 0 {
			for range callers {
				together <- struct{}{}
			}
		}
		<-together
		success(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	client := newClient(t, server.URL, newTokens(), interaction.ClientOptions{})
	for range 3 {
		var burst sync.WaitGroup
		for range callers {
			burst.Go(func() {
				_, err := client.MessagingSession(t.Context(), validRequest())
				if err != nil {
					t.Error(err)
				}
			})
		}
		burst.Wait()
	}
	require.LessOrEqual(t, connections.Load(), int32(callers+8), "144 requests")
}

func TestNewClientNamesEveryWrongSetting(t *testing.T) {
	_, err := interaction.NewClient("http://api.example.com", nil,
		interaction.ClientOptions{Timeout: -1, Version: "1\r\n"})
	require.ErrorContains(t, err, "base URL must begin with https://")
	require.ErrorContains(t, err, "api.example.com")
	require.ErrorContains(t, err, "token source")
	require.ErrorContains(t, err, "Timeout")
	require.ErrorContains(t, err, "Version")
}

func TestBaseURL(t *testing.T) {
	for url, reason := range map[string]string{
		"https://acme.my.salesforce-scrt.com":   "",
		"https://acme.my.salesforce-scrt.com/":  "",
		"http://localhost:8080":                 "",
		"http://127.0.0.9:8080":                 "",
		"http://[::1]:8080":                     "",
		"http://sandbox.localhost":              "",
		"":                                      "is required",
		"acme.my.salesforce-scrt.com":           "https://",
		"ftp://acme.my.salesforce-scrt.com":     "https://",
		"http://acme.my.salesforce-scrt.com":    "unencrypted",
		"http://127.0.0.1.example.com":          "unencrypted",
		"http://localhost.example.com":          "unencrypted",
		"http://0.0.0.0":                        "unencrypted",
		"https://":                              "has no host",
		"https://user:hunter2@example.com":      "user name",
		"https://example.com?token=hunter2":     "query",
		"https://example.com#hunter2":           "fragment",
		"https://user:hunter2@exa mple.com":     "is not a URL",
		"https://user:hunter2@example.com:port": "is not a URL",
	} {
		_, err := interaction.NewClient(url, newTokens(), interaction.ClientOptions{})
		if reason == "" {
			require.NoError(t, err, url)
			continue
		}
		require.ErrorContains(t, err, reason, url)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err := interaction.NewClient("http://sandbox:8080", newTokens(), interaction.ClientOptions{PlainHTTP: true})
	require.NoError(t, err)
}

func TestPathOfTheBaseURLIsKept(t *testing.T) {
	url, received := rawServer(t, rawSuccess)
	_, err := newClient(t, url+"/prefix/", newTokens(), interaction.ClientOptions{}).MessagingSession(t.Context(),
		validRequest())
	require.NoError(t, err)
	first, _, _ := strings.Cut(receive(t, received), "\r\n")
	require.Equal(t, "POST /prefix/api/v1/messagingSession HTTP/1.1", first)
}

func TestTransportWithoutTrace(t *testing.T) {
	broken := errors.New("broken for " + endUser)
	failure := callError(t, newClient(t, "https://example.com", newTokens(), interaction.ClientOptions{
		Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, broken }),
	}))
	require.ErrorIs(t, failure, broken)
	require.False(t, failure.NotSent, "without a trace the request may have been sent")
	require.NotContains(t, allFormats(failure), "900123")
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
