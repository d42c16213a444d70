package e2e_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"

	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/internal/demo"
	"sessionkeeper/sandbox/simulator"
)

// secrets must not be visible: Salesforce's credentials nowhere, end users only in
// the payloads of workflows, signals and activities.
type secrets struct {
	mu          sync.Mutex
	credentials map[string]string
	endUsers    []string
}

// recordCredentials records the credentials that the worker sends to the sandbox.
func (s *secrets) recordCredentials(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			s.add("token", bearer)
		}
		if r.URL.Path != "/services/oauth2/token" {
			next.ServeHTTP(w, r)
			return
		}
		form, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(form))
		if values, err := url.ParseQuery(string(form)); err == nil {
			assertion := values.Get("assertion")
			s.add("assertion", assertion)
			s.add("assertion's signature", assertion[strings.LastIndex(assertion, ".")+1:])
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

func (s *secrets) add(kind, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.credentials == nil {
		s.credentials = map[string]string{}
	}
	if value != "" {
		s.credentials[value] = kind
	}
}

// kinds returns how many credentials of each kind were recorded.
func (s *secrets) kinds() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{}
	for _, kind := range s.credentials {
		n[kind]++
	}
	return n
}

// exampleEndUsers returns the end users of the example, without the plus sign.
func exampleEndUsers(t *testing.T) []string {
	t.Helper()
	var users []string
	seen := map[string]bool{}
	for line := range bytes.Lines(demo.Events()) {
		event, err := cloudevent.Parse(bytes.TrimSpace(line))
		require.NoError(t, err)
		user := strings.TrimPrefix(event.Identity.EndUserClientID, "+")
		if user != "" && !seen[user] {
			seen[user] = true
			users = append(users, user)
		}
	}
	require.NotEmpty(t, users)
	return users
}

// credentialIn returns the kind of the credential that a text contains, if any.
func (s *secrets) credentialIn(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for value, kind := range s.credentials {
		if strings.Contains(text, value) {
			return kind
		}
	}
	return ""
}

func (s *secrets) endUserIn(text string) string {
	for _, user := range s.endUsers {
		if strings.Contains(text, user) {
			return "endUserClientId " + user
		}
	}
	return ""
}

// leaks returns what a text contains that it must not, if anything.
func (s *secrets) leaks(text string) string {
	if kind := s.credentialIn(text); kind != "" {
		return kind
	}
	return s.endUserIn(text)
}

// search searches every string and byte field of a message and calls found with
// the path of each secret. allowed is true for an end user in an input.
func (s *secrets) search(t *testing.T, message proto.Message, found func(path, secret string, allowed bool)) {
	t.Helper()
	searchText := func(p protopath.Values, text string) {
		path := p.Path.String()
		if kind := s.credentialIn(text); kind != "" {
			found(path, kind, false)
		}
		if user := s.endUserIn(text); user != "" {
			found(path, user, strings.Contains(path, ".input."))
		}
	}
	require.NoError(t, protorange.Range(message.ProtoReflect(), func(p protopath.Values) error {
		last := p.Index(-1)
		if key := last.Step; key.Kind() == protopath.MapIndexStep {
			searchText(p, key.MapIndex().String())
		}
		switch value := last.Value.Interface().(type) {
		case string:
			searchText(p, value)
		case []byte:
			searchText(p, string(value))
		case protoreflect.Message, protoreflect.List, protoreflect.Map:
		default:
		}
		return nil
	}))
}

func TestRecordingCredentialsDoesNotChangeAnswers(t *testing.T) {
	t.Parallel()
	var s secrets
	org, _, err := simulator.DemoOrg()
	require.NoError(t, err)
	sandbox, err := simulator.New(simulator.Config{Orgs: []simulator.Org{org}})
	require.NoError(t, err)
	request := func(h http.Handler) *httptest.ResponseRecorder {
		form := strings.NewReader("grant_type=x&assertion=a.b.c")
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/services/oauth2/token", form)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	plain, recorded := request(sandbox), request(s.recordCredentials(sandbox))
	require.Equal(t, plain.Code, recorded.Code)
	require.Equal(t, plain.Body.String(), recorded.Body.String())
	require.Equal(t, map[string]int{"assertion": 1, "assertion's signature": 1}, s.kinds())
}
