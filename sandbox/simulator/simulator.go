// Package simulator is a stand-in for Salesforce's Interaction Service and its
// token endpoint, for tests and demos. A [Simulator] is an [http.Handler]:
//
//	sandbox, err := simulator.New(simulator.Config{Orgs: []simulator.Org{{
//		OrgID: "00D000000000001", ConsumerKey: "key", ClientSecret: "secret",
//		ChannelDefinitions: []string{"Partner1_ChannelDefinition1"},
//		ChannelAddresses:   []simulator.ChannelAddress{{ID: "channel-1"}},
//	}}})
//	server := httptest.NewServer(sandbox)
//	// The client under test gets server.URL as its API and login address.
//	_, err = sandbox.CreateSession("00D000000000001", simulator.Session{
//		ConversationIdentifier: "conv-1", Status: simulator.StatusActive,
//	})
//	_, err = sandbox.Inject(simulator.Fault{
//		Operation: simulator.End, Times: 1, Answer: &simulator.Answer{Status: 503},
//	})
//	// … the client ends the session …
//	session, _ := sandbox.Session("00D000000000001", "conv-1") // session.Status is Ended.
//	requests := sandbox.Journal()                              // Each has its Violations.
//
// The simulator serves one or more orgs. It
//   - issues access tokens and checks every request as Salesforce would;
//   - keeps the status of each session, see [Session];
//   - fails on demand, see [Fault];
//   - records each request and its response in a journal, see [Entry].
//
// It shares no types with any client, so that a mistake in a client is not
// repeated here. The same functions are served as JSON under /_sandbox/.
//
// # Documented by Salesforce
//
// The paths, headers, body fields, operations and session statuses; the values
// of errorReason and most numeric codes; the limit of 2000 requests per second;
// the JWT bearer and client credentials grants, and that the token response has
// no expires_in.
//
// # Not documented, and so configurable
//
// All of the following are fields of [Behaviour]. Their defaults are inferred.
//   - Which operation succeeds on a session of which status.
//   - The HTTP status, code and message for each failure.
//   - Whether a failure is success:false with an errorReason, or an HTTP error.
//   - The spelling of errorReason, and numeric or symbolic codes.
//   - Whether repeated grants return the same token.
//   - How long a new session stays invisible.
//
// The limit of requests is counted for each org, see [Config]. The body of
// POST /api/v1/conversation is a choice of this package, and it is fixed.
package simulator

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Simulator simulates the orgs of its Config. It is safe for concurrent use.
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

// New returns a Simulator without sessions and faults. If the Config is not
// valid, the error lists every invalid field.
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

// ServeHTTP answers a request and records it in the journal. Requests to the
// control API under /_sandbox/ are not recorded.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, controlPrefix) {
		s.control.ServeHTTP(w, r)
		return
	}
	req := s.readRequest(w, r)
	seq := s.journal.begin(req)
	res := s.handle(r.Context(), req)
	// The entry is completed before the response is sent: a client that has the
	// response may read the journal at once.
	s.journal.complete(seq, req, res, s.now())
	res.write(w)
}

// result is what the simulator did with a request.
type result struct {
	response      response
	before, after Status
	faultID       string
	breakage      Break
	clientGone    bool
}

// handle processes a request, or applies the fault that matches it.
func (s *Simulator) handle(ctx context.Context, req *request) result {
	fault, matched := s.faults.match(req, s.now())
	if !matched {
		return s.process(req)
	}
	res := s.applyFault(ctx, req, fault)
	res.faultID = fault.ID
	return res
}

// process does what Salesforce would do with a request.
func (s *Simulator) process(req *request) result {
	switch {
	case req.oauthError != nil:
		return result{response: s.errorResponse(req, req.oauthError.answer())}
	case req.rejection != "":
		return s.failure(req, req.rejection)
	case req.endpoint == TokenEndpoint:
		return result{response: s.issueToken(req)}
	}
	if cause := req.org.check(req); cause != "" {
		return s.failure(req, cause)
	}
	if req.endpoint == ConversationEndpoint {
		return s.openConversation(req)
	}
	return s.applyOperation(req)
}

func (s *Simulator) failure(req *request, cause Cause) result {
	return result{response: s.errorResponse(req, s.config.Behaviour.answerTo(cause))}
}

func (s *Simulator) now() time.Time {
	return s.config.Clock()
}

// Inject activates a fault and returns its id. If the fault is not valid, the
// error names the field.
func (s *Simulator) Inject(f Fault) (id string, err error) {
	if f.OrgID != "" && s.orgs[f.OrgID] == nil {
		return "", fmt.Errorf("%w: fault: orgId: %q: %w", ErrInvalid, f.OrgID, ErrOrgNotFound)
	}
	return s.faults.inject(f, s.now())
}

// RemoveFault removes a fault and reports whether it was active.
func (s *Simulator) RemoveFault(id string) bool {
	return s.faults.remove(id)
}

// RemoveAllFaults removes every fault.
func (s *Simulator) RemoveAllFaults() {
	s.faults.removeAll()
}

// Faults returns the active faults, oldest first.
func (s *Simulator) Faults() []Fault {
	return s.faults.list(s.now())
}

// Journal returns a copy of the entries, oldest first.
func (s *Simulator) Journal() []Entry {
	entries, _ := s.journal.snapshot()
	return entries
}

// DroppedEntries returns how many entries the full journal has dropped since it
// was last cleared.
func (s *Simulator) DroppedEntries() uint64 {
	return s.journal.droppedCount()
}

// ClearJournal removes all entries. Numbering continues.
func (s *Simulator) ClearJournal() {
	s.journal.clear()
}

// Wait blocks until done returns true for the entries of the journal, or until
// ctx ends. It calls done at once, and again whenever a request arrives or is
// answered. The entries include requests in flight, see [Entry.Answered].
func (s *Simulator) Wait(ctx context.Context, done func([]Entry) bool) error {
	return s.journal.wait(ctx, done)
}

// CreateSession creates a session and makes it the current session of its
// conversation. The previous session becomes Ended. Empty fields get defaults.
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

// SetStatus changes the status of the conversation's current session, as
// Salesforce itself would: for example to Ended when a rep ends the session, or
// from Inactive to Waiting when the end user writes.
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

// Session returns the conversation's current session, even if it is not yet
// visible to requests.
func (s *Simulator) Session(orgID, conversationIdentifier string) (Session, bool) {
	o, err := s.org(orgID)
	if err != nil {
		return Session{}, false
	}
	return o.sessions.current(conversationIdentifier)
}

// Sessions returns all sessions of an org, oldest first.
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
