package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
)

const controlPrefix = "/_sandbox/"

// controlHandler serves the simulator's methods as a JSON API. Errors are
// {"error": text}.
func (s *Simulator) controlHandler() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]func(*http.Request) (any, error){
		"GET /_sandbox/health":             s.controlHealth,
		"GET /_sandbox/faults":             s.controlFaults,
		"POST /_sandbox/faults":            s.controlInjectFault,
		"DELETE /_sandbox/faults":          s.controlRemoveAllFaults,
		"DELETE /_sandbox/faults/{id}":     s.controlRemoveFault,
		"GET /_sandbox/sessions":           s.controlSessions,
		"POST /_sandbox/sessions":          s.controlCreateSession,
		"PUT /_sandbox/sessions/status":    s.controlSetStatus,
		"GET /_sandbox/journal":            s.controlJournal,
		"DELETE /_sandbox/journal":         s.controlClearJournal,
		"PUT /_sandbox/channel-addresses":  s.controlSetChannelAddress,
		"POST /_sandbox/tokens/expire-all": s.controlExpireTokens,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			body, err := serve(r)
			writeControl(w, body, err)
		})
	}
	return mux
}

func writeControl(w http.ResponseWriter, body any, err error) {
	status := http.StatusOK
	switch {
	case errors.Is(err, ErrInvalid):
		status = http.StatusBadRequest
	case err != nil:
		status = http.StatusNotFound
	}
	if err != nil {
		body = map[string]string{"error": err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error means that the client has closed the connection.
	_ = json.NewEncoder(w).Encode(body)
}

// acknowledgement is the response to a change.
var acknowledgement = map[string]bool{"ok": true}

func (s *Simulator) controlHealth(*http.Request) (any, error) { return acknowledgement, nil }

func (s *Simulator) controlFaults(*http.Request) (any, error) { return s.Faults(), nil }

func (s *Simulator) controlInjectFault(r *http.Request) (any, error) {
	var f Fault
	if err := readControl(r, &f); err != nil {
		return nil, err
	}
	id, err := s.Inject(f)
	return map[string]string{"id": id}, err
}

func (s *Simulator) controlRemoveFault(r *http.Request) (any, error) {
	if id := r.PathValue("id"); !s.RemoveFault(id) {
		return nil, fmt.Errorf("fault %q is not active", id)
	}
	return acknowledgement, nil
}

func (s *Simulator) controlRemoveAllFaults(*http.Request) (any, error) {
	s.RemoveAllFaults()
	return acknowledgement, nil
}

// orgSession is a Session with the id of its org.
type orgSession struct {
	OrgID string `json:"orgId"`
	Session
}

func (s *Simulator) controlSessions(r *http.Request) (any, error) {
	filter, err := readFilter(r)
	if err != nil {
		return nil, err
	}
	found := []orgSession{}
	for _, orgID := range slices.Sorted(maps.Keys(s.orgs)) {
		for _, session := range s.Sessions(orgID) {
			if filter.matches(orgID, session.ConversationIdentifier) {
				found = append(found, withoutEndUser(orgID, session))
			}
		}
	}
	return found, nil
}

// withoutEndUser removes the personal data of a session.
func withoutEndUser(orgID string, session Session) orgSession {
	session.EndUserClientID = ""
	return orgSession{orgID, session}
}

func (s *Simulator) controlCreateSession(r *http.Request) (any, error) {
	var wanted orgSession
	if err := readControl(r, &wanted); err != nil {
		return nil, err
	}
	created, err := s.CreateSession(wanted.OrgID, wanted.Session)
	return withoutEndUser(wanted.OrgID, created), err
}

func (s *Simulator) controlSetStatus(r *http.Request) (any, error) {
	var change struct {
		OrgID                  string `json:"orgId"`
		ConversationIdentifier string `json:"conversationIdentifier"`
		Status                 Status `json:"status"`
	}
	if err := readControl(r, &change); err != nil {
		return nil, err
	}
	return acknowledgement, s.SetStatus(change.OrgID, change.ConversationIdentifier, change.Status)
}

func (s *Simulator) controlSetChannelAddress(r *http.Request) (any, error) {
	var change struct {
		OrgID  string `json:"orgId"`
		ID     string `json:"id"`
		Active *bool  `json:"active"`
	}
	if err := readControl(r, &change); err != nil {
		return nil, err
	}
	if change.Active == nil {
		return nil, fmt.Errorf("%w: active: missing", ErrInvalid)
	}
	return acknowledgement, s.SetChannelAddress(change.OrgID, change.ID, *change.Active)
}

func (s *Simulator) controlExpireTokens(*http.Request) (any, error) {
	s.ExpireTokens()
	return acknowledgement, nil
}

func (s *Simulator) controlJournal(r *http.Request) (any, error) {
	filter, err := readFilter(r)
	if err != nil {
		return nil, err
	}
	found := []Entry{}
	for _, e := range s.Journal() {
		if filter.matches(e.OrgID, e.ConversationIdentifier) {
			found = append(found, e)
		}
	}
	return struct {
		Dropped uint64  `json:"dropped"`
		Entries []Entry `json:"entries"`
	}{s.DroppedEntries(), found}, nil
}

func (s *Simulator) controlClearJournal(*http.Request) (any, error) {
	s.ClearJournal()
	return acknowledgement, nil
}

// filter selects sessions or entries; an empty field matches every one.
type filter struct{ orgID, conversationIdentifier string }

func (f filter) matches(orgID, conversationIdentifier string) bool {
	return (f.orgID == "" || f.orgID == orgID) &&
		(f.conversationIdentifier == "" || f.conversationIdentifier == conversationIdentifier)
}

func readFilter(r *http.Request) (filter, error) {
	query := r.URL.Query()
	for name := range query {
		if name != "orgId" && name != "conversationIdentifier" {
			return filter{}, fmt.Errorf("%w: filter %q is neither orgId nor conversationIdentifier", ErrInvalid, name)
		}
	}
	return filter{query.Get("orgId"), query.Get("conversationIdentifier")}, nil
}

func readControl(r *http.Request, into any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%w: body: %w", ErrInvalid, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: body: more than one JSON value", ErrInvalid)
	}
	return nil
}
