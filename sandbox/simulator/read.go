package simulator

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
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

// apiFields are the body fields each endpoint of the API knows; those of the
// conversation endpoint are a plausible choice of ours.
var apiFields = map[Path]struct{ required, optional []string }{
	MessagingSessionPath: {
		required: []string{"channelAddressIdentifier", "endUserClientId", "conversationIdentifier", "operation"},
		optional: []string{"sessionId", "operationBy"},
	},
	ConversationPath: {
		required: []string{"channelAddressIdentifier", "endUserClientId"},
		optional: []string{"conversationIdentifier", "sessionId"},
	},
}

// read takes a request in and holds it against the contract. Every broken rule
// is noted, the first decides the answer.
func (s *Simulator) read(w http.ResponseWriter, r *http.Request) *call {
	c := &call{request: r, receivedAt: s.now(), path: paths[r.URL.Path], fields: map[string]string{}}
	body, err := readBody(w, r)
	switch c.path {
	case unknownPath:
		c.violate(UnknownPath, "path: unknown")
	case TokenPath:
		s.readGrant(c, body, err)
	case ConversationPath, MessagingSessionPath:
		c.readMethod()
		s.readToken(c)
		s.readHeaders(c)
		c.readFields(body, err)
	}
	return c
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	// The deadline guards against bodies that never end. It is not supported by
	// every ResponseWriter, nor needed then.
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(maxBodyWait))
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
}

func (c *call) readMethod() {
	if c.request.Method != http.MethodPost {
		c.violate(MethodNotAllowed, "method: not POST")
	}
}

func (s *Simulator) readToken(c *call) {
	values := c.request.Header.Values("Authorization")
	if len(values) != 1 {
		c.violate(InvalidToken, "Authorization: want exactly one")
		return
	}
	scheme, text, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || text == "" {
		c.violate(InvalidToken, "Authorization: not a Bearer token")
		return
	}
	c.token = text
	if c.org = s.tokens.org(text, c.receivedAt); c.org == nil {
		c.refuse(InvalidToken)
		return
	}
	if !c.org.limiter.AllowN(c.receivedAt, 1) {
		c.refuse(RateLimited)
	}
}

func (s *Simulator) readHeaders(c *call) {
	for _, name := range []string{"OrgId", requestIDHeader, "AuthorizationContext"} {
		if values := c.request.Header.Values(name); len(values) != 1 || values[0] == "" {
			c.violate(InvalidHeader, name+": want exactly one")
		}
	}
	s.readOrgID(c)
	if id := c.header(requestIDHeader); id != "" {
		if len(id) != len(uuid.Nil.String()) || uuid.Validate(id) != nil {
			c.violate(InvalidHeader, "RequestId: not a UUID")
		} else if s.requestIDs.repeated(strings.ToLower(id)) {
			c.note("RequestId: repeated")
		}
	}
	if len(c.request.Header.Values("AuthorizationContextType")) > 0 {
		c.violate(InvalidHeader, "AuthorizationContextType: not a header of this endpoint")
	}
	media, _, err := mime.ParseMediaType(c.header("Content-Type"))
	if err != nil || media != "application/json" {
		c.violate(UnsupportedMediaType, "Content-Type: not application/json")
	}
}

func (s *Simulator) readOrgID(c *call) {
	id := c.header("OrgId")
	switch {
	case id == "":
	case !orgIDForm.MatchString(id):
		c.violate(InvalidHeader, "OrgId: not a 15-character org id")
	case s.orgs[id] == nil:
		c.refuse(OrgNotFound)
	case c.org != nil && c.org.OrgID != id:
		c.violate(OrgMismatch, "OrgId: not the token's org")
	}
}

func (c *call) readFields(body []byte, err error) {
	if err != nil {
		c.refuseBody(err)
		return
	}
	known := apiFields[c.path]
	fields, err := readObject(body)
	c.fields = fields.strings
	if err != nil {
		c.violate(InvalidBody, "body: "+err.Error())
	}
	for _, name := range fields.names {
		if !slices.Contains(known.required, name) && !slices.Contains(known.optional, name) {
			c.violate(InvalidBody, name+": unknown field")
		}
	}
	for _, name := range known.required {
		if c.fields[name] == "" {
			c.violate(MissingField, name+": missing")
		}
	}
	for _, name := range []string{"channelAddressIdentifier", "endUserClientId"} {
		if utf8.RuneCountInString(c.fields[name]) > maxFieldLength {
			c.violate(InvalidField, name+": longer than 240 characters")
		}
	}
	if c.path == MessagingSessionPath {
		c.readOperation()
	}
}

func (c *call) refuseBody(err error) {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		c.violate(BodyTooLarge, "body: too large")
		return
	}
	c.violate(InvalidBody, "body: not read to its end")
}

func (c *call) readOperation() {
	op := Operation(c.fields["operation"])
	if op != "" && !slices.Contains(operations, op) {
		c.violate(InvalidField, "operation: neither End nor Inactivate")
	}
	if by, set := c.fields["operationBy"]; set && !slices.Contains(operators, by) {
		c.violate(InvalidField, "operationBy: neither EndUser nor System")
	}
	if op == Inactivate && c.fields["sessionId"] == "" {
		c.violate(SessionIDRequired, "sessionId: missing, Inactivate requires it")
	}
}
