package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

const (
	maxBody         = 64 << 10
	maxBodyWait     = 10 * time.Second
	maxFieldLength  = 240
	requestIDHeader = "RequestId"
)

// Endpoint is one of the simulated endpoints.
type Endpoint string

// The simulated endpoints.
const (
	// TokenEndpoint is POST /services/oauth2/token.
	TokenEndpoint Endpoint = "token"
	// ConversationEndpoint is POST /api/v1/conversation.
	ConversationEndpoint Endpoint = "conversation"
	// MessagingSessionEndpoint is POST /api/v1/messagingSession.
	MessagingSessionEndpoint Endpoint = "messagingSession"

	unknownEndpoint Endpoint = ""
)

var endpoints = map[string]Endpoint{
	"/services/oauth2/token":   TokenEndpoint,
	"/api/v1/conversation":     ConversationEndpoint,
	"/api/v1/messagingSession": MessagingSessionEndpoint,
}

// apiFields are the body fields of each endpoint of the API. Those of the
// conversation endpoint are our choice.
var apiFields = map[Endpoint]struct{ required, optional []string }{
	MessagingSessionEndpoint: {
		required: []string{"channelAddressIdentifier", "endUserClientId", "conversationIdentifier", "operation"},
		optional: []string{"sessionId", "operationBy"},
	},
	ConversationEndpoint: {
		required: []string{"channelAddressIdentifier", "endUserClientId"},
		optional: []string{"conversationIdentifier", "sessionId"},
	},
}

// request is a request that has been read and checked against the contract.
type request struct {
	http       *http.Request
	receivedAt time.Time
	endpoint   Endpoint
	// org is the org of the access token, or of the client that requests a
	// token; nil if it is unknown.
	org *org
	// token is the client's access token.
	token string
	// fields are the body fields that could be read.
	fields map[string]string
	// rejection is why an API request is not processed, or "".
	rejection Cause
	// oauthError is why a token request is not processed, or nil.
	oauthError *oauthError
	// violations name every rule of the contract that the request breaks.
	violations []string
}

// readRequest reads a request and checks it against the contract. It records
// every broken rule; the first one determines the response.
func (s *Simulator) readRequest(w http.ResponseWriter, r *http.Request) *request {
	req := &request{http: r, receivedAt: s.now(), endpoint: endpoints[r.URL.Path], fields: map[string]string{}}
	body, err := readBody(w, r)
	switch req.endpoint {
	case unknownEndpoint:
		req.violate(UnknownPath, "path: unknown")
	case TokenEndpoint:
		req.oauthError = s.readTokenRequest(req, body, err)
	case ConversationEndpoint, MessagingSessionEndpoint:
		if r.Method != http.MethodPost {
			req.violate(MethodNotAllowed, "method: not POST")
		}
		s.checkToken(req)
		s.checkHeaders(req)
		req.readFields(body, err)
	}
	return req
}

// reject rejects the request, unless it is rejected already.
func (req *request) reject(cause Cause) {
	if req.rejection == "" {
		req.rejection = cause
	}
}

// violate rejects the request because it breaks a rule of the contract.
func (req *request) violate(cause Cause, rule string) {
	req.reject(cause)
	req.addViolation(rule)
}

// addViolation records a broken rule and does not reject the request.
func (req *request) addViolation(rule string) {
	req.violations = append(req.violations, truncate(rule, maxTextInJournal))
}

func (req *request) header(name string) string {
	return req.http.Header.Get(name)
}

// orgID returns the org of the token or client. If that is unknown, it returns
// the OrgId header.
func (req *request) orgID() string {
	if req.org != nil {
		return req.org.OrgID
	}
	// Truncated to the length of an org id, because a client may send its
	// access token in the wrong header.
	return truncate(req.header("OrgId"), 18)
}

func (req *request) isWellFormed() bool {
	return req.rejection == "" && req.oauthError == nil
}

func truncate(text string, length int) string {
	if len(text) > length {
		return text[:length]
	}
	return text
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	// The deadline stops a body that never ends. Some ResponseWriters do not
	// support it, such as those of unit tests, which do not need it.
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(maxBodyWait))
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
}

func (s *Simulator) checkToken(req *request) {
	values := req.http.Header.Values("Authorization")
	if len(values) != 1 {
		req.violate(InvalidToken, "Authorization: want exactly one")
		return
	}
	scheme, text, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || text == "" {
		req.violate(InvalidToken, "Authorization: not a Bearer token")
		return
	}
	req.token = text
	if req.org = s.tokens.org(text, req.receivedAt); req.org == nil {
		req.reject(InvalidToken)
		return
	}
	if !req.org.limiter.AllowN(req.receivedAt, 1) {
		req.reject(RateLimited)
	}
}

func (s *Simulator) checkHeaders(req *request) {
	for _, name := range []string{"OrgId", requestIDHeader, "AuthorizationContext"} {
		if values := req.http.Header.Values(name); len(values) != 1 || values[0] == "" {
			req.violate(InvalidHeader, name+": want exactly one")
		}
	}
	s.checkOrgID(req)
	if id := req.header(requestIDHeader); id != "" {
		if len(id) != len(uuid.Nil.String()) || uuid.Validate(id) != nil {
			req.violate(InvalidHeader, "RequestId: not a UUID")
		} else if s.requestIDs.isRepeated(strings.ToLower(id)) {
			req.addViolation("RequestId: repeated")
		}
	}
	if len(req.http.Header.Values("AuthorizationContextType")) > 0 {
		req.violate(InvalidHeader, "AuthorizationContextType: not a header of this endpoint")
	}
	media, _, err := mime.ParseMediaType(req.header("Content-Type"))
	if err != nil || media != "application/json" {
		req.violate(UnsupportedMediaType, "Content-Type: not application/json")
	}
}

func (s *Simulator) checkOrgID(req *request) {
	id := req.header("OrgId")
	switch {
	case id == "":
	case !orgIDForm.MatchString(id):
		req.violate(InvalidHeader, "OrgId: not a 15-character org id")
	case s.orgs[id] == nil:
		req.reject(OrgNotFound)
	case req.org != nil && req.org.OrgID != id:
		req.violate(OrgMismatch, "OrgId: not the token's org")
	}
}

// readFields reads and checks the body of an API request.
func (req *request) readFields(body []byte, readErr error) {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](readErr); tooLarge {
		req.violate(BodyTooLarge, "body: too large")
		return
	}
	if readErr != nil {
		req.violate(InvalidBody, "body: not read to the end")
		return
	}
	known := apiFields[req.endpoint]
	object, err := readObject(body)
	req.fields = object.strings
	if err != nil {
		req.violate(InvalidBody, "body: "+err.Error())
	}
	for _, name := range object.names {
		if !slices.Contains(known.required, name) && !slices.Contains(known.optional, name) {
			req.violate(InvalidBody, name+": unknown field")
		}
	}
	for _, name := range known.required {
		if req.fields[name] == "" {
			req.violate(MissingField, name+": missing")
		}
	}
	for _, name := range []string{"channelAddressIdentifier", "endUserClientId"} {
		if utf8.RuneCountInString(req.fields[name]) > maxFieldLength {
			req.violate(InvalidField, name+": longer than 240 characters")
		}
	}
	if req.endpoint == MessagingSessionEndpoint {
		req.checkOperation()
	}
}

// jsonObject holds the fields of a JSON object. Unlike encoding/json, it
// distinguishes names by case and finds names that are given twice.
type jsonObject struct {
	names   []string
	strings map[string]string
}

// readObject reads exactly one JSON object with string fields. If it fails, it
// still returns the fields that it could read.
func readObject(body []byte) (jsonObject, error) {
	o := jsonObject{strings: map[string]string{}}
	if !utf8.Valid(body) {
		return o, errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if first, err := dec.Token(); err != nil || first != json.Delim('{') {
		return o, errors.New("not a JSON object")
	}
	var errs []error
	for dec.More() {
		name, value, err := readField(dec)
		if err != nil {
			return o, err
		}
		if _, twice := o.strings[name]; twice {
			errs = append(errs, fmt.Errorf("%s given twice", name))
		}
		o.names = append(o.names, name)
		text, isString := value.(string)
		if !isString {
			errs = append(errs, fmt.Errorf("%s is not a string", name))
		}
		o.strings[name] = text
	}
	if _, err := dec.Token(); err != nil {
		return o, errors.New("malformed JSON")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		errs = append(errs, errors.New("more than one JSON value"))
	}
	return o, errors.Join(errs...)
}

func readField(dec *json.Decoder) (name string, value any, err error) {
	key, err := dec.Token()
	if err != nil {
		return "", nil, errors.New("malformed JSON")
	}
	if err := dec.Decode(&value); err != nil {
		return "", nil, errors.New("malformed JSON")
	}
	name, _ = key.(string)
	return name, value, nil
}

// requestIDs holds the latest RequestIds, to find repeated ones.
type requestIDs struct {
	mu    sync.Mutex
	limit int
	known map[string]bool
	order []string // a ring buffer once it has limit elements
	next  int
}

func newRequestIDs(limit int) *requestIDs {
	return &requestIDs{limit: limit, known: map[string]bool{}}
}

// isRepeated reports whether id is known, and adds it.
func (r *requestIDs) isRepeated(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[id] {
		return true
	}
	r.known[id] = true
	if len(r.order) < r.limit {
		r.order = append(r.order, id)
		return false
	}
	delete(r.known, r.order[r.next])
	r.order[r.next] = id
	r.next = (r.next + 1) % r.limit
	return false
}
