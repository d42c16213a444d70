package interaction_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/interaction"
)

// endUser is a phone number with characters that have escaped forms: a plus sign, a
// space and a quote.
const endUser = `+44 7700"900123`

func validRequest() interaction.Request {
	return interaction.Request{
		OrgID:                    "00D000000000001",
		AuthorizationContext:     "Partner1_ChannelDefinition1",
		ChannelAddressIdentifier: "5a1b0c7e-0f52-4c4c-8df7-1f4c0a6d3b11",
		EndUserClientID:          endUser,
		ConversationIdentifier:   "conversation-1",
		SessionID:                "0Mw000000000001",
		Operation:                interaction.End,
		OperationBy:              interaction.ByEndUser,
		RequestID:                uuid.MustParse("6ba7b810-9dad-41d1-80b4-00c04fd430c8"),
	}
}

// scriptedTokens is a token source that returns first, then the renewals one by one.
type scriptedTokens struct {
	first    string
	renewals []string
	err      error // of Renew when no renewal is left
	firstErr error

	mu       sync.Mutex
	rejected []string
}

func (s *scriptedTokens) Token(context.Context) (string, error) { return s.first, s.firstErr }

func (s *scriptedTokens) Renew(_ context.Context, rejected string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejected = append(s.rejected, rejected)
	if len(s.renewals) == 0 {
		return "", s.err
	}
	token := s.renewals[0]
	s.renewals = s.renewals[1:]
	return token, nil
}

func newTokens() *scriptedTokens {
	return &scriptedTokens{first: "token-one", renewals: []string{"token-two"}}
}

// scriptedServer uses the handlers one by one, and the last one for all further
// requests. It records the headers of the requests.
type scriptedServer struct {
	*httptest.Server
	mu      sync.Mutex
	headers []http.Header
}

func (s *scriptedServer) requests() []http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.headers)
}

func serve(t *testing.T, handlers ...http.HandlerFunc) *scriptedServer {
	t.Helper()
	s := &scriptedServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.headers = append(s.headers, r.Header.Clone())
		handler := handlers[min(len(s.headers), len(handlers))-1]
		s.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func respond(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func success(w http.ResponseWriter, r *http.Request) { respond(200, `{"success":true}`)(w, r) }

func newClient(
	t *testing.T, url string, tokens interaction.TokenSource, options interaction.ClientOptions,
) *interaction.Client {
	t.Helper()
	client, err := interaction.NewClient(url, tokens, options)
	require.NoError(t, err)
	return client
}

// callError makes a call and returns its error.
func callError(t *testing.T, client *interaction.Client) *interaction.Error {
	t.Helper()
	_, err := client.MessagingSession(t.Context(), validRequest())
	var failure *interaction.Error
	require.ErrorAs(t, err, &failure)
	return failure
}

// responseError returns the error of a call to a server with these handlers.
func responseError(t *testing.T, handlers ...http.HandlerFunc) *interaction.Error {
	t.Helper()
	return callError(t, newClient(t, serve(t, handlers...).URL, newTokens(), interaction.ClientOptions{}))
}

// allFormats formats the value by fmt and slog, with the causes of an error.
func allFormats(value any) string {
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&out, verb+"\n", value)
	}
	fmt.Fprintf(&out, "%v %+v\n", []any{value}, struct{ Value any }{value})
	// The digits of the time may look like a part of a secret.
	options := &slog.HandlerOptions{ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
		if len(groups) == 0 && attr.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return attr
	}}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, options), slog.NewJSONHandler(&out, options)} {
		slog.New(handler).Info("shown", "value", value)
	}
	if err, ok := value.(error); ok {
		for cause := errors.Unwrap(err); cause != nil; cause = errors.Unwrap(cause) {
			out.WriteString(allFormats(cause.Error()))
		}
	}
	return out.String()
}

// receive returns the next value of a channel. It fails the test after 10 seconds.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(10 * time.Second):
		require.FailNow(t, "nothing received")
		panic("unreachable")
	}
}
