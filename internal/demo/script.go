package demo

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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

// sessionIDs replaces the beginning of every session id. Each play has ids of its
// own, because an event that names a session which has ended changes nothing.
type sessionIDs struct{ before, after []byte }

func newSessionIDs(now time.Time) sessionIDs {
	return sessionIDs{[]byte("0Mw00000000"), fmt.Appendf(nil, "0Mw%08x", now.Unix()&0xffffffff)}
}

func (ids sessionIDs) in(text []byte) []byte { return bytes.ReplaceAll(text, ids.before, ids.after) }

// script is what happens in Salesforce during the play, and how the
// conversations must end.
type script struct {
	Conversations []part `yaml:"conversations"`
}

// part is one conversation's part in the script.
type part struct {
	ID           string           `yaml:"id"`
	About        string           `yaml:"about"`
	AppearsAfter time.Duration    `yaml:"appearsAfter"`
	Faults       []map[string]any `yaml:"faults"`
	Steps        []step           `yaml:"steps"`
	Expect       []result         `yaml:"expect"`

	// identity is the one of its first started event.
	identity conversation.Identity
	// begins is when its first event is sent, after the first event of the log.
	begins time.Duration
	scenes []scene
}

// scene is a part of a conversation: what is done, and the events that follow.
type scene struct {
	steps []step
	// events are lines of the log.
	events []byte
}

// step is what is waited for, and then what a person or Salesforce does.
type step struct {
	// Before is the id of the event that follows. Empty: after the last event.
	Before string `yaml:"before"`

	Phase conversation.Phase  `yaml:"phase"`
	Call  simulator.Operation `yaml:"call"`
	Pause time.Duration       `yaml:"pause"`

	Fault      map[string]any `yaml:"fault"`
	Repair     bool           `yaml:"repair"`
	EndSession bool           `yaml:"endSession"`
	NewSession string         `yaml:"newSession"`
	Activate   string         `yaml:"activate"`
	Retry      bool           `yaml:"retry"`
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

func readScript(conversations, log []byte) (script, error) {
	var s script
	decoder := yaml.NewDecoder(bytes.NewReader(conversations))
	decoder.KnownFields(true)
	if err := decoder.Decode(&s); err != nil {
		return s, fmt.Errorf("read the demo's conversations: %w", err)
	}
	events, err := readEvents(log)
	if err != nil {
		return s, err
	}
	for i := range s.Conversations {
		id := s.Conversations[i].ID
		if err := s.Conversations[i].add(events[id]); err != nil {
			return s, fmt.Errorf("read the demo's conversations: %s: %w", id, err)
		}
		delete(events, id)
	}
	for id := range events {
		return s, fmt.Errorf("read the demo's conversations: %s has events but is not listed", id)
	}
	return s, nil
}

// event is an event of the log.
type event struct {
	cloudevent.Event
	line string
	// after is the time since the first event of the log.
	after time.Duration
}

// readEvents returns the events of each conversation identifier.
func readEvents(log []byte) (map[string][]event, error) {
	events := map[string][]event{}
	var first time.Time
	for number, line := range strings.Split(strings.TrimSpace(string(log)), "\n") {
		e, err := cloudevent.Parse([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("read the demo's events: line %d: %w", number+1, err)
		}
		if first.IsZero() {
			first = e.At
		}
		id := e.Identity.ConversationIdentifier
		events[id] = append(events[id], event{Event: e, line: line, after: e.At.Sub(first)})
	}
	return events, nil
}

// add adds the events to the conversation, and divides it into scenes.
func (p *part) add(events []event) error {
	started := slices.IndexFunc(events, func(e event) bool { return e.Type == cloudevent.TypeStarted })
	if started < 0 {
		return errors.New("no event starts it")
	}
	p.identity, p.begins = events[started].Identity, events[0].after
	steps := p.Steps
	current := scene{}
	for _, e := range events {
		n := 0
		for n < len(steps) && steps[n].Before == e.ID {
			n++
		}
		if n > 0 {
			p.scenes = append(p.scenes, current)
			current = scene{steps: steps[:n]}
			steps = steps[n:]
		}
		current.events = append(current.events, e.line+"\n"...)
	}
	p.scenes = append(p.scenes, current, scene{steps: steps})
	for _, s := range steps {
		if s.Before != "" {
			return fmt.Errorf("no event %s for its step", s.Before)
		}
	}
	return nil
}

// newFault returns the sandbox's fault for a conversation.
func newFault(spec map[string]any, id conversation.Identity) (simulator.Fault, error) {
	text, err := json.Marshal(spec)
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
