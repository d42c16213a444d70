package simulator

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Simulator plays the orgs of its Config. It is safe for concurrent use.
type Simulator struct {
	config     Config
	orgs       map[string]*org
	tokens     *tokens
	faults     *faults
	journal    *journal
	requestIDs *requestIDs
	control    http.Handler
}

var _ http.Handler = (*Simulator)(nil)

// New returns a Simulator without sessions and faults, or every error of the
// Config, each with its field.
func New(c Config) (*Simulator, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("sandbox config: %w", err)
	}
	s := &Simulator{
		config:     c,
		orgs:       map[string]*org{},
		tokens:     newTokens(),
		faults:     newFaults(c.Seed),
		journal:    newJournal(c.JournalSize),
		requestIDs: newRequestIDs(c.JournalSize),
	}
	for _, o := range c.Orgs {
		running, err := newOrg(o, c.MaxRequestsPerSecond)
		if err != nil {
			return nil, fmt.Errorf("sandbox config: org %s: %w", o.OrgID, err)
		}
		s.orgs[o.OrgID] = running
	}
	s.control = s.controlHandler()
	return s, nil
}

// ServeHTTP answers a request and writes it into the journal, except for the
// control endpoints under /_sandbox/.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, controlPrefix) {
		s.control.ServeHTTP(w, r)
		return
	}
	c := s.read(w, r)
	seq := s.journal.open(c)
	out := s.act(r.Context(), c)
	// Before the answer: who has it may look into the journal at once.
	s.journal.close(seq, c, out, s.now())
	out.write(w)
}

func (s *Simulator) now() time.Time {
	return s.config.Clock()
}

// Inject puts a fault in force and returns its id. A fault that makes no sense
// is refused with an error that names the field.
func (s *Simulator) Inject(f Fault) (id string, err error) {
	if f.OrgID != "" && s.orgs[f.OrgID] == nil {
		return "", fmt.Errorf("%w: fault: orgId: %q: %w", ErrInvalid, f.OrgID, ErrOrgNotFound)
	}
	return s.faults.inject(f, s.now())
}

// Remove ends a fault and tells whether it was in force.
func (s *Simulator) Remove(id string) bool {
	return s.faults.remove(id)
}

// RemoveAll ends every fault.
func (s *Simulator) RemoveAll() {
	s.faults.removeAll()
}

// Faults are those in force, oldest first.
func (s *Simulator) Faults() []Fault {
	return s.faults.list(s.now())
}

// Journal copies the entries kept, oldest first.
func (s *Simulator) Journal() []Entry {
	entries, _ := s.journal.snapshot()
	return entries
}

// Dropped counts the entries that the journal has let go since it was cleared.
func (s *Simulator) Dropped() uint64 {
	return s.journal.droppedCount()
}

// ClearJournal forgets all entries; numbering goes on.
func (s *Simulator) ClearJournal() {
	s.journal.clear()
}

// Wait returns when done says so of the journal's entries, which it is asked
// now and whenever a request comes or is answered, or else when ctx ends.
// Entries of requests in flight are among them, see Entry.Answered.
func (s *Simulator) Wait(ctx context.Context, done func([]Entry) bool) error {
	return s.journal.wait(ctx, done)
}

// CreateSession makes a session, the current one of its conversation; an open
// one before it becomes Ended. Fields left empty are filled in.
func (s *Simulator) CreateSession(orgID string, session Session) (Session, error) {
	o, err := s.org(orgID)
	if err != nil {
		return Session{}, fmt.Errorf("create session: %w", err)
	}
	created, err := o.sessions.add(session, s.now())
	if err != nil {
		return Session{}, fmt.Errorf("create session: %w", err)
	}
	return created, nil
}

// SetStatus changes the conversation's current session from within Salesforce:
// a rep ends it, a message of the end user moves it from Inactive to Waiting.
func (s *Simulator) SetStatus(orgID, conversationIdentifier string, status Status) error {
	o, err := s.org(orgID)
	if err != nil {
		return fmt.Errorf("set status: %w", err)
	}
	if err := o.sessions.setStatus(conversationIdentifier, status, s.now()); err != nil {
		return fmt.Errorf("set status of conversation %q: %w", conversationIdentifier, err)
	}
	return nil
}

// Session is the conversation's current session, visible yet or not.
func (s *Simulator) Session(orgID, conversationIdentifier string) (Session, bool) {
	o, err := s.org(orgID)
	if err != nil {
		return Session{}, false
	}
	return o.sessions.current(conversationIdentifier)
}

// Sessions of an org, oldest first.
func (s *Simulator) Sessions(orgID string) []Session {
	o, err := s.org(orgID)
	if err != nil {
		return nil
	}
	return o.sessions.list()
}

// SetChannelAddress activates or deactivates a messaging channel.
func (s *Simulator) SetChannelAddress(orgID, id string, active bool) error {
	o, err := s.org(orgID)
	if err != nil {
		return fmt.Errorf("set channel address: %w", err)
	}
	if err := o.setChannel(id, active); err != nil {
		return fmt.Errorf("set channel address %q: %w", id, err)
	}
	return nil
}

// ExpireTokens makes every access token invalid.
func (s *Simulator) ExpireTokens() {
	s.tokens.revokeAll()
}

func (s *Simulator) org(id string) (*org, error) {
	if o := s.orgs[id]; o != nil {
		return o, nil
	}
	return nil, fmt.Errorf("%q: %w", id, ErrOrgNotFound)
}
