package demo

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/sandbox/simulator"
)

// events is a routing system's log of CloudEvents, one a line.
//
//go:embed events.ndjson
var events []byte

// conversations says what happens in Salesforce while events are played, and how
// every conversation must end.
//
//go:embed conversations.yaml
var conversations []byte

// Events returns the log of CloudEvents that is played.
func Events() []byte { return bytes.Clone(events) }

// script is what happens in Salesforce during the play, and how the
// conversations must end.
type script struct {
	Conversations []part `yaml:"conversations"`
}

// part is one conversation's part in the script.
type part struct {
	ID           string        `yaml:"id"`
	About        string        `yaml:"about"`
	AppearsAfter time.Duration `yaml:"appearsAfter"`
	Faults       []fault       `yaml:"faults"`
	Steps        []step        `yaml:"steps"`
	Expect       []result      `yaml:"expect"`

	// identity is the one of its first started event.
	identity conversation.Identity
}

// fault is a fault of the sandbox, with when it begins and ends.
type fault struct {
	At    time.Duration  `yaml:"at"`
	Until time.Duration  `yaml:"until"`
	Spec  map[string]any `yaml:",inline"`
}

// step is something that a person or Salesforce does.
type step struct {
	At         time.Duration `yaml:"at"`
	EndSession bool          `yaml:"endSession"`
	NewSession string        `yaml:"newSession"`
	Activate   string        `yaml:"activate"`
	Retry      bool          `yaml:"retry"`
}

// result is how one workflow run must end, or how it ended.
type result struct {
	Why conversation.Why `yaml:"why"`
	By  string           `yaml:"by"`
	// Phases and Calls are words in their order.
	Phases string `yaml:"phases"`
	Calls  string `yaml:"calls"`
	// Attempts counts the HTTP calls that were processed; 0 expects any number.
	Attempts int `yaml:"attempts"`
}

// matches reports whether a run ended as expected.
func (r result) matches(actual result) bool {
	if r.Attempts == 0 {
		actual.Attempts = 0
	}
	return r == actual
}

func readScript(conversations, events []byte) (script, error) {
	var s script
	decoder := yaml.NewDecoder(bytes.NewReader(conversations))
	decoder.KnownFields(true)
	if err := decoder.Decode(&s); err != nil {
		return s, fmt.Errorf("read the demo's conversations: %w", err)
	}
	identities, err := startedIdentities(events)
	if err != nil {
		return s, err
	}
	for i := range s.Conversations {
		id, ok := identities[s.Conversations[i].ID]
		if !ok {
			return s, fmt.Errorf("read the demo's conversations: no event starts %s", s.Conversations[i].ID)
		}
		s.Conversations[i].identity = id
		delete(identities, id.ConversationIdentifier)
	}
	for id := range identities {
		return s, fmt.Errorf("read the demo's conversations: %s has events but is not listed", id)
	}
	return s, nil
}

// startedIdentities returns, by conversation identifier, the identity of each
// conversation's first session.
func startedIdentities(events []byte) (map[string]conversation.Identity, error) {
	identities := map[string]conversation.Identity{}
	for number, line := range strings.Split(strings.TrimSpace(string(events)), "\n") {
		event, err := cloudevent.Parse([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("read the demo's events: line %d: %w", number+1, err)
		}
		if event.Type != cloudevent.TypeStarted {
			continue
		}
		id := event.Identity
		if known, ok := identities[id.ConversationIdentifier]; !ok || id.SessionID < known.SessionID {
			identities[id.ConversationIdentifier] = id
		}
	}
	return identities, nil
}

// forConversation returns the sandbox's fault for a conversation.
func (f fault) forConversation(id conversation.Identity) (simulator.Fault, error) {
	text, err := json.Marshal(f.Spec)
	if err != nil {
		return simulator.Fault{}, fmt.Errorf("fault of %s: %w", id.ConversationIdentifier, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var made simulator.Fault
	if err := decoder.Decode(&made); err != nil {
		return simulator.Fault{}, fmt.Errorf("fault of %s: %w", id.ConversationIdentifier, err)
	}
	made.Endpoint, made.OrgID = simulator.MessagingSessionEndpoint, id.OrgID
	made.ConversationIdentifier = id.ConversationIdentifier
	return made, nil
}
