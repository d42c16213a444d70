package simulator

import (
	"net/http"
	"time"
)

// Path is an endpoint of the simulator.
type Path string

// The endpoints a Fault can name.
const (
	// TokenPath is POST /services/oauth2/token.
	TokenPath Path = "token"
	// ConversationPath is POST /api/v1/conversation.
	ConversationPath Path = "conversation"
	// MessagingSessionPath is POST /api/v1/messagingSession.
	MessagingSessionPath Path = "messagingSession"

	unknownPath Path = ""
)

var paths = map[string]Path{
	"/services/oauth2/token":   TokenPath,
	"/api/v1/conversation":     ConversationPath,
	"/api/v1/messagingSession": MessagingSessionPath,
}

// call is a request that has been read and held against the contract.
type call struct {
	request    *http.Request
	receivedAt time.Time
	path       Path
	// org is that of the token, or of the client that asks for a token; nil
	// when it cannot be told.
	org *org
	// token is the caller's bearer token.
	token string
	// fields are those of the body that were readable.
	fields map[string]string
	// refusal is what the call is turned down with for its form, if not empty.
	refusal Cause
	// grant is the OAuth error that a token request is turned down with.
	grant *oauthError
	// violations name every rule of the contract that the call breaks.
	violations []string
}

// refuse turns the call down, unless an earlier rule did.
func (c *call) refuse(cause Cause) {
	if c.refusal == "" {
		c.refusal = cause
	}
}

// violate refuses the call for breaking a rule of the contract.
func (c *call) violate(cause Cause, rule string) {
	c.refuse(cause)
	c.note(rule)
}

// note puts a broken rule in the journal without refusing the call.
func (c *call) note(rule string) {
	c.violations = append(c.violations, truncate(rule, maxTextInJournal))
}

func (c *call) header(name string) string {
	return c.request.Header.Get(name)
}

// orgID is the org the call is about: what the token says, else the header.
func (c *call) orgID() string {
	if c.org != nil {
		return c.org.OrgID
	}
	// Cut to the length of an org id, so that a token in the wrong header is
	// not written down.
	return truncate(c.header("OrgId"), 18)
}

// wellFormed tells that a call passed every check of its form.
func (c *call) wellFormed() bool {
	return c.refusal == "" && c.grant == nil
}

func truncate(text string, length int) string {
	if len(text) > length {
		return text[:length]
	}
	return text
}
