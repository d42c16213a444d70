package conversation

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxIdentifier is Salesforce's documented limit for channelAddressIdentifier
// and endUserClientId, in characters. Salesforce documents no limit for
// conversationIdentifier; we use the same one.
const maxIdentifier = 240

var (
	// orgIDForm: the OrgId header takes the 15-character id of the org
	// (Salesforce's reference of the Interaction Service API).
	orgIDForm = regexp.MustCompile(`^[a-zA-Z0-9]{15}$`)
	// developerName is Salesforce's rule for API names.
	developerName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,79}$`)
	// recordID: a Salesforce record id has 15 characters, or 18 with the suffix
	// for systems that ignore case.
	recordID = regexp.MustCompile(`^[a-zA-Z0-9]{15}([a-zA-Z0-9]{3})?$`)
)

// Identity names a conversation of an org in Salesforce's terms. OrgID and
// ConversationIdentifier are the key. The other fields are what a call to
// Salesforce needs in addition.
type Identity struct {
	// OrgID is the 15-character id of the org. Required.
	OrgID string `json:"orgId"`
	// AuthorizationContext is the developer name of the
	// ConversationChannelDefinition. At most 80 characters.
	AuthorizationContext string `json:"authorizationContext,omitempty"`
	// ChannelAddressIdentifier is MessagingChannel.ChannelAddressIdentifier. At
	// most 240 characters.
	ChannelAddressIdentifier string `json:"channelAddressIdentifier,omitempty"`
	// EndUserClientID is the id of the end user in the partner's system. At most
	// 240 characters. It may be a phone number: it is never part of a workflow
	// id, a search attribute, a summary, a log line or a metric.
	EndUserClientID string `json:"endUserClientId,omitempty"`
	// ConversationIdentifier is Salesforce's identifier of the conversation. It
	// stays the same when a new session begins. ASCII, at most 240 characters.
	// Required.
	ConversationIdentifier string `json:"conversationIdentifier"`
	// SessionID is the record id of the MessagingSession, 15 or 18 characters.
	// Send it with every event once it is known: Salesforce refuses an
	// Inactivate without it (error 10106), and an End without it may end a newer
	// session.
	SessionID string `json:"sessionId,omitempty"`
}

// WorkflowID returns the id of the conversation's workflow:
// "<orgId>:<conversationIdentifier>". Temporal never encrypts workflow ids, so it
// contains no personal data.
func (id Identity) WorkflowID() string { return id.OrgID + ":" + id.ConversationIdentifier }

// ParseWorkflowID returns the OrgID and the ConversationIdentifier of a workflow
// id. It is the reverse of [Identity.WorkflowID].
func ParseWorkflowID(workflowID string) (Identity, error) {
	orgID, identifier, _ := strings.Cut(workflowID, ":")
	id := Identity{OrgID: orgID, ConversationIdentifier: identifier}
	if err := id.ValidateKey(); err != nil {
		return Identity{}, fmt.Errorf(`workflow id: want "<orgId>:<conversationIdentifier>": %w`, err)
	}
	return id, nil
}

// Validate checks every field as Salesforce does. All but SessionID are required.
// The error is an [*InvalidError].
func (id Identity) Validate() error {
	var p problems
	p.include(id.ValidateKey())
	if !developerName.MatchString(id.AuthorizationContext) {
		p.add("authorizationContext",
			"must be the developer name of the ConversationChannelDefinition, such as Partner1_ChannelDefinition1")
	}
	p.identifier("channelAddressIdentifier", id.ChannelAddressIdentifier)
	p.identifier("endUserClientId", id.EndUserClientID)
	p.sessionID(id.SessionID)
	return p.err()
}

// ValidateKey checks only orgId and conversationIdentifier, which make the
// workflow id. The error is an [*InvalidError].
func (id Identity) ValidateKey() error {
	var p problems
	switch {
	case orgIDForm.MatchString(id.OrgID):
	case len(id.OrgID) == 18:
		p.add("orgId", "must be the 15-character form of the org's id, without the 3-character suffix")
	default:
		p.add("orgId", "must be the org's 15-character id, such as 00D000000000001")
	}
	p.identifier("conversationIdentifier", id.ConversationIdentifier)
	if strings.ContainsFunc(id.ConversationIdentifier, func(r rune) bool { return r > unicode.MaxASCII }) {
		// Temporal clients send the workflow id in a gRPC header.
		p.add("conversationIdentifier", "has characters other than ASCII")
	}
	return p.err()
}

// SameSession reports whether two session ids name the same record. The first 15
// characters decide, so an id with the 3-character suffix equals the one without.
// An empty id equals no other.
func SameSession(a, b string) bool {
	return a != "" && b != "" && a[:min(15, len(a))] == b[:min(15, len(b))]
}

func (p *problems) identifier(field, value string) {
	switch {
	case value == "":
		p.add(field, "is missing")
	case !utf8.ValidString(value):
		p.add(field, "is not valid UTF-8")
	case utf8.RuneCountInString(value) > maxIdentifier:
		p.add(field, "has more than %d characters", maxIdentifier)
	case strings.ContainsFunc(value, unicode.IsControl):
		p.add(field, "contains control characters")
	}
}

// optional checks an identifier that may be absent.
func (p *problems) optional(field, value string) {
	if value != "" {
		p.identifier(field, value)
	}
}

// time checks that a time can be written, and is no zero value of another system.
// The zero time is absent.
func (p *problems) time(field string, at time.Time) {
	_, offset := at.Zone()
	switch {
	case at.IsZero():
	case !inRange(at):
		p.add(field, "%v", errYear)
	case max(offset, -offset) >= 24*60*60, offset%60 != 0:
		p.add(field, "must have a zone of whole minutes and less than 24 hours")
	}
}

func (p *problems) sessionID(value string) {
	if value != "" && !recordID.MatchString(value) {
		p.add("sessionId", "must be a Salesforce record id of 15 or 18 characters")
	}
}
