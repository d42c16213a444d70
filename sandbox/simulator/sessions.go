package simulator

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Status of a messaging session in Salesforce.
type Status string

// The documented statuses of a messaging session.
const (
	StatusNew      Status = "New"
	StatusWaiting  Status = "Waiting"
	StatusActive   Status = "Active"
	StatusInactive Status = "Inactive"
	StatusEnded    Status = "Ended"
	StatusConsent  Status = "Consent"
	StatusPaused   Status = "Paused"
	StatusError    Status = "Error"
)

var statuses = []Status{
	StatusNew, StatusWaiting, StatusActive, StatusInactive, StatusEnded, StatusConsent, StatusPaused, StatusError,
}

// Session is one messaging session of a conversation.
type Session struct {
	// ID of the MessagingSession record: 18 characters beginning with 0Mw.
	ID string `json:"sessionId"`
	// ConversationIdentifier of the conversation, which may have several
	// sessions, one after the other.
	ConversationIdentifier string `json:"conversationIdentifier"`
	// ChannelAddressIdentifier of the conversation; empty matches any channel.
	ChannelAddressIdentifier string `json:"channelAddressIdentifier,omitempty"`
	// EndUserClientID of the conversation; empty matches any end user. The
	// control API accepts it and never returns it.
	EndUserClientID string `json:"endUserClientId,omitempty"`
	// Status defaults to New.
	Status Status `json:"status"`
	// AppearsAfter hides the session from requests for this long after
	// CreatedAt.
	AppearsAfter Duration `json:"appearsAfter,omitempty"`
	// CreatedAt is set by the simulator.
	CreatedAt time.Time `json:"createdAt"`
	// ChangedAt is when the status last changed. It is set by the simulator.
	ChangedAt time.Time `json:"changedAt"`
}

var sessionIDForm = regexp.MustCompile(`^0Mw[0-9A-Za-z]{15}$`)

// complete fills in the defaults of a new session and validates it.
func (s *Session) complete() error {
	if s.ID == "" {
		s.ID = "0Mw" + rand.Text()[:15]
	}
	if s.ConversationIdentifier == "" {
		s.ConversationIdentifier = uuid.NewString()
	}
	if s.Status == "" {
		s.Status = StatusNew
	}
	switch {
	case !sessionIDForm.MatchString(s.ID):
		return fmt.Errorf("%w: sessionId: %q is not 18 letters and digits beginning with 0Mw", ErrInvalid, s.ID)
	case !slices.Contains(statuses, s.Status):
		return fmt.Errorf("%w: status: %q is not a session status", ErrInvalid, s.Status)
	case s.AppearsAfter < 0:
		return fmt.Errorf("%w: appearsAfter: must not be negative", ErrInvalid)
	}
	return nil
}

func (s *Session) isVisible(now time.Time) bool {
	return !now.Before(s.CreatedAt.Add(time.Duration(s.AppearsAfter)))
}

func (s *Session) setStatus(status Status, now time.Time) {
	if s.Status != status {
		s.Status, s.ChangedAt = status, now
	}
}

// conversation of an end user on a channel. Its sessions are in order of
// creation; the last one is the current session.
type conversation struct {
	id             string
	channelAddress string
	endUser        string
	sessions       []*Session
}

func (c *conversation) current() *Session {
	return c.sessions[len(c.sessions)-1]
}

func (c *conversation) matches(channelAddress, endUser string) bool {
	return (c.channelAddress == "" || c.channelAddress == channelAddress) &&
		(c.endUser == "" || c.endUser == endUser)
}

// find returns the visible session with that id. If id is empty, it returns the
// latest visible session.
func (c *conversation) find(id string, now time.Time) (*Session, Cause) {
	var visible []*Session
	for _, s := range c.sessions {
		if s.isVisible(now) {
			visible = append(visible, s)
		}
	}
	if len(visible) == 0 {
		return nil, ActiveConversationNotFound
	}
	if id == "" {
		return visible[len(visible)-1], ""
	}
	i := slices.IndexFunc(visible, func(s *Session) bool { return s.ID == id })
	if i < 0 {
		return nil, SessionNotFound
	}
	return visible[i], ""
}

// sessions holds the conversations and sessions of one org.
type sessions struct {
	mu            sync.Mutex
	conversations map[string]*conversation
	byEndUser     map[endUserOnChannel]*conversation
	ids           map[string]bool
}

type endUserOnChannel struct{ channelAddress, endUser string }

func newSessions() *sessions {
	return &sessions{
		conversations: map[string]*conversation{},
		byEndUser:     map[endUserOnChannel]*conversation{},
		ids:           map[string]bool{},
	}
}

// add makes s the current session of its conversation. The previous session
// becomes Ended.
func (all *sessions) add(s Session, now time.Time) (Session, error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.addLocked(s, now)
}

func (all *sessions) addLocked(s Session, now time.Time) (Session, error) {
	if err := s.complete(); err != nil {
		return Session{}, err
	}
	if all.ids[s.ID] {
		return Session{}, fmt.Errorf("%w: sessionId: %q exists already", ErrInvalid, s.ID)
	}
	named := s.ChannelAddressIdentifier != "" || s.EndUserClientID != ""
	c := all.conversations[s.ConversationIdentifier]
	switch {
	case c == nil:
		c = &conversation{
			id: s.ConversationIdentifier, channelAddress: s.ChannelAddressIdentifier, endUser: s.EndUserClientID,
		}
		all.conversations[c.id] = c
		if c.endUser != "" {
			all.byEndUser[endUserOnChannel{c.channelAddress, c.endUser}] = c
		}
	case named && !c.matches(s.ChannelAddressIdentifier, s.EndUserClientID):
		return Session{}, fmt.Errorf("%w: conversationIdentifier: %q belongs to another end user or channel",
			ErrInvalid, c.id)
	default:
		s.ChannelAddressIdentifier, s.EndUserClientID = c.channelAddress, c.endUser
		c.current().setStatus(StatusEnded, now)
	}
	s.CreatedAt, s.ChangedAt = now, now
	all.ids[s.ID] = true
	c.sessions = append(c.sessions, &s)
	return s, nil
}

// open finds or creates the conversation of an end user on a channel and
// returns its current session. It adds a session if the current one has ended,
// or if s has the id of another session.
func (all *sessions) open(s Session, now time.Time) (Session, error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	c := all.byEndUser[endUserOnChannel{s.ChannelAddressIdentifier, s.EndUserClientID}]
	if s.ConversationIdentifier != "" {
		c = all.conversations[s.ConversationIdentifier]
	}
	if c == nil {
		return all.addLocked(s, now)
	}
	s.ConversationIdentifier = c.id
	current := c.current()
	if c.matches(s.ChannelAddressIdentifier, s.EndUserClientID) &&
		current.Status != StatusEnded && (s.ID == "" || s.ID == current.ID) {
		return *current, nil
	}
	return all.addLocked(s, now)
}

// addUnknown creates the session that a request names, if it does not exist. A
// session id with the wrong form stays unknown.
func (all *sessions) addUnknown(req *request, now time.Time) {
	all.mu.Lock()
	defer all.mu.Unlock()
	id := req.fields["sessionId"]
	known := all.ids[id]
	if id == "" {
		known = all.conversations[req.fields["conversationIdentifier"]] != nil
	}
	if known {
		return
	}
	s := req.session()
	s.Status = StatusActive
	_, _ = all.addLocked(s, now)
}

// apply applies the request's operation to the session it names, if the
// transition is allowed. It returns the status before and after, and the cause
// of a failure.
func (all *sessions) apply(
	req *request, transition func(Operation, Status) string, now time.Time,
) (before, after Status, cause Cause) {
	all.mu.Lock()
	defer all.mu.Unlock()
	c := all.conversations[req.fields["conversationIdentifier"]]
	if c == nil {
		return "", "", ActiveConversationNotFound
	}
	if !c.matches(req.fields["channelAddressIdentifier"], req.fields["endUserClientId"]) {
		req.addViolation("conversationIdentifier: belongs to another end user or channel")
		return "", "", ActiveConversationNotFound
	}
	session, cause := c.find(req.fields["sessionId"], now)
	if cause != "" {
		return "", "", cause
	}
	op := Operation(req.fields["operation"])
	before = session.Status
	if reason := transition(op, before); reason != Success {
		return before, before, Cause(reason)
	}
	session.setStatus(op.newStatus(), now)
	return before, session.Status, ""
}

func (all *sessions) setStatus(conversationIdentifier string, status Status, now time.Time) error {
	if !slices.Contains(statuses, status) {
		return fmt.Errorf("%w: status: %q is not a session status", ErrInvalid, status)
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	c := all.conversations[conversationIdentifier]
	if c == nil {
		return ErrConversationNotFound
	}
	c.current().setStatus(status, now)
	return nil
}

func (all *sessions) current(conversationIdentifier string) (Session, bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	c := all.conversations[conversationIdentifier]
	if c == nil {
		return Session{}, false
	}
	return *c.current(), true
}

// list returns copies of all sessions, oldest first.
func (all *sessions) list() []Session {
	all.mu.Lock()
	defer all.mu.Unlock()
	var copies []Session
	for _, c := range all.conversations {
		for _, s := range c.sessions {
			copies = append(copies, *s)
		}
	}
	slices.SortFunc(copies, func(a, b Session) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return copies
}
