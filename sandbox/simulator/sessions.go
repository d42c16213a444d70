package simulator

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Errors of the methods that change an org from outside.
var (
	ErrOrgNotFound          = errors.New("no such org")
	ErrConversationNotFound = errors.New("no such conversation")
	ErrChannelNotFound      = errors.New("no such channel address")
	ErrInvalid              = errors.New("invalid")
)

var sessionIDForm = regexp.MustCompile(`^0Mw[0-9A-Za-z]{15}$`)

// sessions of one org.
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

// add makes s the current session of its conversation. An open session that it
// follows is over, so it becomes Ended.
func (all *sessions) add(s Session, now time.Time) (Session, error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.addLocked(s, now)
}

func (all *sessions) addLocked(s Session, now time.Time) (Session, error) {
	if err := s.fill(); err != nil {
		return Session{}, err
	}
	if all.ids[s.ID] {
		return Session{}, fmt.Errorf("%w: sessionId: %q exists already", ErrInvalid, s.ID)
	}
	c := all.conversations[s.ConversationIdentifier]
	switch {
	case c == nil:
		c = &conversation{id: s.ConversationIdentifier, channelAddress: s.ChannelAddressIdentifier, endUser: s.EndUserClientID}
		all.conversations[c.id] = c
		if c.endUser != "" {
			all.byEndUser[endUserOnChannel{c.channelAddress, c.endUser}] = c
		}
	case !c.fits(s.ChannelAddressIdentifier, s.EndUserClientID) && (s.ChannelAddressIdentifier != "" || s.EndUserClientID != ""):
		return Session{}, fmt.Errorf("%w: conversationIdentifier: %q belongs to another end user or channel", ErrInvalid, c.id)
	default:
		s.ChannelAddressIdentifier, s.EndUserClientID = c.channelAddress, c.endUser
		c.current().become(StatusEnded, now)
	}
	s.CreatedAt, s.ChangedAt = now, now
	all.ids[s.ID] = true
	c.sessions = append(c.sessions, &s)
	return s, nil
}

// fill sets the defaults of a session to be created and checks the rest.
func (s *Session) fill() error {
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
		return fmt.Errorf("%w: status: %q is no session status", ErrInvalid, s.Status)
	case s.AppearsAfter < 0:
		return fmt.Errorf("%w: appearsAfter: must not be negative", ErrInvalid)
	}
	return nil
}

// open is what POST /api/v1/conversation does: the end user's conversation on
// that channel goes on, with a new session when the earlier one has ended or
// when another sessionId is asked for.
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
	if c.fits(s.ChannelAddressIdentifier, s.EndUserClientID) && current.Status != StatusEnded && (s.ID == "" || s.ID == current.ID) {
		return *current, nil
	}
	return all.addLocked(s, now)
}

// adopt creates the session that a call names, if there is none. What the form
// of its id does not allow stays unknown.
func (all *sessions) adopt(c *call, now time.Time) {
	all.mu.Lock()
	defer all.mu.Unlock()
	id := c.fields["sessionId"]
	known := all.ids[id]
	if id == "" {
		known = all.conversations[c.fields["conversationIdentifier"]] != nil
	}
	if known {
		return
	}
	_, _ = all.addLocked(Session{
		ID: id, ConversationIdentifier: c.fields["conversationIdentifier"], Status: StatusActive,
		ChannelAddressIdentifier: c.fields["channelAddressIdentifier"], EndUserClientID: c.fields["endUserClientId"],
	}, now)
}

// operate applies op to the session named by c, if the transition is allowed.
// The statuses tell what it did; the cause is empty when it was allowed.
func (all *sessions) operate(c *call, allowed func(Operation, Status) string, now time.Time) (before, after Status, cause Cause) {
	all.mu.Lock()
	defer all.mu.Unlock()
	conv := all.conversations[c.fields["conversationIdentifier"]]
	if conv == nil {
		return "", "", ActiveConversationNotFound
	}
	if !conv.fits(c.fields["channelAddressIdentifier"], c.fields["endUserClientId"]) {
		c.note("conversationIdentifier: belongs to another end user or channel")
		return "", "", ActiveConversationNotFound
	}
	session, cause := conv.find(c.fields["sessionId"], now)
	if cause != "" {
		return "", "", cause
	}
	op := Operation(c.fields["operation"])
	before = session.Status
	if answer := allowed(op, before); answer != Success {
		return before, before, Cause(answer)
	}
	session.become(op.result(), now)
	return before, session.Status, ""
}

func (all *sessions) setStatus(conversationIdentifier string, status Status, now time.Time) error {
	if !slices.Contains(statuses, status) {
		return fmt.Errorf("%w: status: %q is no session status", ErrInvalid, status)
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	c := all.conversations[conversationIdentifier]
	if c == nil {
		return ErrConversationNotFound
	}
	c.current().become(status, now)
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

// list copies the sessions, oldest first.
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
