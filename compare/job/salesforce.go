package job

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// salesforce stands where the calls go: it says yes to each, and writes down for
// which conversation it came and when.
type salesforce struct {
	url    string
	server *http.Server
	client *http.Client

	mu      sync.Mutex
	ledgers map[string]*ledger
	// called wakes who waits for a call.
	called chan struct{}
}

const (
	callPath  = "/api/v1/messagingSession"
	tokenPath = "/services/oauth2/token" //nolint:gosec // a path, no credential
)

// callBody is what is read of a call, and all that engines send that make it
// through us.
type callBody struct {
	ConversationIdentifier string `json:"conversationIdentifier"`
	Operation              string `json:"operation"`
}

const inactivate = "Inactivate"

func startSalesforce(ctx context.Context) (*salesforce, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the server that is called: %w", err)
	}
	s := &salesforce{
		url: "http://" + listener.Addr().String(), ledgers: map[string]*ledger{}, called: make(chan struct{}, 1),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 10 * time.Second},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+callPath, s.takeCall)
	mux.HandleFunc("POST "+tokenPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"token","token_type":"Bearer","scope":"interaction_api"}`)
	})
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

func (s *salesforce) stop() {
	s.client.CloseIdleConnections()
	_ = s.server.Close()
}

func (s *salesforce) takeCall(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	var body callBody
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if body.Operation == inactivate {
		s.ledger(body.ConversationIdentifier).call(at)
		select {
		case s.called <- struct{}{}:
		default:
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"success":true}`)
}

// call is what engines do that do not speak to Salesforce themselves.
func (s *salesforce) call(ctx context.Context, conversation string) error {
	body, err := json.Marshal(callBody{conversation, inactivate})
	if err != nil {
		return fmt.Errorf("call for %s: %w", conversation, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+callPath, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("call for %s: %w", conversation, err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("call for %s: %w", conversation, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return fmt.Errorf("call for %s: %w", conversation, err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("call for %s: %s", conversation, answer.Status)
	}
	return nil
}

// ledger of a conversation, new when it was not heard of.
func (s *salesforce) ledger(conversation string) *ledger {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.ledgers[conversation]
	if l == nil {
		l = &ledger{}
		s.ledgers[conversation] = l
	}
	return l
}
