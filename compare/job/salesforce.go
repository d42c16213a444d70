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

// salesforce is the server that the idle calls are sent to. It accepts every
// call and records its conversation and time.
type salesforce struct {
	url    string
	server *http.Server
	client *http.Client

	mu        sync.Mutex
	timelines map[string]*timeline
	// called gets a value after a call, unless it has one already.
	called chan struct{}
}

const (
	callPath  = "/api/v1/messagingSession"
	tokenPath = "/services/oauth2/token" //nolint:gosec // a path, not a credential
)

// callBody has the fields of a call that are read. Engines that use Setup.Call
// send no others.
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
		url:       "http://" + listener.Addr().String(),
		timelines: map[string]*timeline{}, called: make(chan struct{}, 1),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 10 * time.Second},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+callPath, s.handleCall)
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

func (s *salesforce) handleCall(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	var body callBody
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if body.Operation == inactivate {
		s.timeline(body.ConversationIdentifier).addCall(at)
		select {
		case s.called <- struct{}{}:
		default:
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"success":true}`)
}

// call sends the idle call, for engines that do not send it themselves.
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
	response, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("call for %s: %w", conversation, err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return fmt.Errorf("call for %s: %w", conversation, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("call for %s: %s", conversation, response.Status)
	}
	return nil
}

// timeline returns a conversation's timeline, which is empty at first.
func (s *salesforce) timeline(conversation string) *timeline {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.timelines[conversation]
	if t == nil {
		t = &timeline{}
		s.timelines[conversation] = t
	}
	return t
}
