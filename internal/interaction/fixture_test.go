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

// A phone number whose plus sign, space and quote have escaped forms.
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

// scriptedTokens returns first, then one renewal after the other.
type scriptedTokens struct {
	first    string
	renewals []string
	err      error // of Renew without a renewal left
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

// answering is a server that gives the handlers' answers one by one, the last
// one for ever, and keeps the requests' headers.
type answering struct {
	*httptest.Server
	mu      sync.Mutex
	headers []http.Header
}

func (a *answering) requests() []http.Header {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.headers)
}

func serve(t *testing.T, handlers ...http.HandlerFunc) *answering {
	t.Helper()
	a := &answering{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.headers = append(a.headers, r.Header.Clone())
		handler := handlers[min(len(a.headers), len(handlers))-1]
		a.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(a.Close)
	return a
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func succeeds(w http.ResponseWriter, r *http.Request) { says(200, `{"success":true}`)(w, r) }

func newClient(t *testing.T, url string, tokens interaction.TokenSource, options interaction.ClientOptions) *interaction.Client {
	t.Helper()
	client, err := interaction.NewClient(url, tokens, options)
	require.NoError(t, err)
	return client
}

// fails makes the call and returns its error.
func fails(t *testing.T, client *interaction.Client) *interaction.Error {
	t.Helper()
	_, err := client.MessagingSession(t.Context(), validRequest())
	var failure *interaction.Error
	require.ErrorAs(t, err, &failure)
	return failure
}

// failsWith is fails against a server with these handlers.
func failsWith(t *testing.T, handlers ...http.HandlerFunc) *interaction.Error {
	t.Helper()
	return fails(t, newClient(t, serve(t, handlers...).URL, newTokens(), interaction.ClientOptions{}))
}

// everyForm is the value as fmt and slog show it, with the causes of an error.
func everyForm(value any) string {
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&out, verb+"\n", value)
	}
	fmt.Fprintf(&out, "%v %+v\n", []any{value}, struct{ Value any }{value})
	// Without the time, whose digits can look like anything.
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
			out.WriteString(everyForm(cause.Error()))
		}
	}
	return out.String()
}

// receive fails the test when nothing comes.
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
