// Package demo plays the example conversations and checks that every one ended
// as it must.
package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/sandbox/simulator"
)

// script is what happens in Salesforce during the play, and what must come of
// it.
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
	Expect       []life        `yaml:"expect"`

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

// life is what must come, or came, of one life of a conversation.
type life struct {
	Why conversation.Why `yaml:"why"`
	By  string           `yaml:"by"`
	// Phases and Calls are words in their order.
	Phases string `yaml:"phases"`
	Calls  string `yaml:"calls"`
	// Attempts counts the HTTP calls that were acted on; 0 expects any number.
	Attempts int `yaml:"attempts"`
}

// fits reports whether what came is what must come.
func (l life) fits(came life) bool {
	if l.Attempts == 0 {
		came.Attempts = 0
	}
	return l == came
}

func readScript(demo, log []byte) (script, error) {
	var s script
	decoder := yaml.NewDecoder(bytes.NewReader(demo))
	decoder.KnownFields(true)
	if err := decoder.Decode(&s); err != nil {
		return s, fmt.Errorf("read the demo script: %w", err)
	}
	identities := map[string]conversation.Identity{}
	for number, line := range strings.Split(strings.TrimSpace(string(log)), "\n") {
		event, err := cloudevent.Parse([]byte(line))
		if err != nil {
			return s, fmt.Errorf("example event in line %d: %w", number+1, err)
		}
		id := event.Identity
		if known, ok := identities[id.ConversationIdentifier]; event.Type == cloudevent.TypeStarted && (!ok || id.SessionID < known.SessionID) {
			identities[id.ConversationIdentifier] = id
		}
	}
	for i := range s.Conversations {
		id, ok := identities[s.Conversations[i].ID]
		if !ok {
			return s, fmt.Errorf("read the demo script: no event starts %s", s.Conversations[i].ID)
		}
		s.Conversations[i].identity = id
		delete(identities, id.ConversationIdentifier)
	}
	for id := range identities {
		return s, fmt.Errorf("read the demo script: %s has events but no part", id)
	}
	return s, nil
}

// of makes the sandbox's fault for a conversation.
func (f fault) of(id conversation.Identity) (simulator.Fault, error) {
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
	made.Endpoint = simulator.MessagingSessionEndpoint
	made.OrgID, made.ConversationIdentifier = id.OrgID, id.ConversationIdentifier
	return made, nil
}
