package conversation

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// maxIdentifier is Salesforce's documented limit for channelAddressIdentifier
// and endUserClientId, in characters. conversationIdentifier has no documented
// limit; the same one is used for it.
const maxIdentifier = 240

var (
	// orgIDForm: the OrgId header takes the org's 15-character id (Salesforce's
	// reference of the Interaction Service API).
	orgIDForm = regexp.MustCompile(`^[a-zA-Z0-9]{15}$`)
	// developerName: Salesforce's rule for API names.
	developerName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]{0,79}$`)
	// recordID: Salesforce record ids have 15 characters, or 18 with the
	// case-insensitive suffix.
	recordID = regexp.MustCompile(`^[a-zA-Z0-9]{15}([a-zA-Z0-9]{3})?$`)
)

// Identity says which conversation of which org is meant, in Salesforce's
// terms.
type Identity struct {
	// OrgID is the org's 15-character id.
	OrgID string `json:"orgId"`
	// AuthorizationContext is the developer name of the
	// ConversationChannelDefinition.
	AuthorizationContext string `json:"authorizationContext,omitempty"`
	// ChannelAddressIdentifier is MessagingChannel.ChannelAddressIdentifier.
	ChannelAddressIdentifier string `json:"channelAddressIdentifier,omitempty"`
	// EndUserClientID is the end user's id in the partner's system. It may be
	// a phone number: it never enters a workflow id, search attribute,
	// summary, log line or metric.
	EndUserClientID string `json:"endUserClientId,omitempty"`
	// ConversationIdentifier is Salesforce's identifier of the conversation.
	// It lives longer than a session.
	ConversationIdentifier string `json:"conversationIdentifier"`
	// SessionID is the MessagingSession record id. Optional, but Salesforce
	// refuses to Inactivate without it (error 10106), and an End without it may
	// meet a newer session: send it with every event once it is known.
	SessionID string `json:"sessionId,omitempty"`
}

// WorkflowID is the id of the conversation's workflow:
// "<orgId>:<conversationIdentifier>". Ids are never encrypted, so it holds no
// personal data.
func (id Identity) WorkflowID() string { return id.OrgID + ":" + id.ConversationIdentifier }

// ParseWorkflowID reads a workflow id back into the two identifiers that it is
// made of. It is the reverse of [Identity.WorkflowID].
func ParseWorkflowID(workflowID string) (Identity, error) {
	orgID, identifier, _ := strings.Cut(workflowID, ":")
	id := Identity{OrgID: orgID, ConversationIdentifier: identifier}
	if err := id.ValidateKey(); err != nil {
		return Identity{}, fmt.Errorf(`workflow id: want "<orgId>:<conversationIdentifier>": %w`, err)
	}
	return id, nil
}

// Validate reports every field that Salesforce would refuse, as an
// [*InvalidError].
func (id Identity) Validate() error {
	var p problems
	p.include(id.ValidateKey())
	if !developerName.MatchString(id.AuthorizationContext) {
		p.add("authorizationContext", "must be the developer name of the ConversationChannelDefinition, such as Partner1_ChannelDefinition1")
	}
	p.identifier("channelAddressIdentifier", id.ChannelAddressIdentifier)
	p.identifier("endUserClientId", id.EndUserClientID)
	p.sessionID(id.SessionID)
	return p.err()
}

// ValidateKey checks only the two fields that name the conversation: orgId and
// conversationIdentifier.
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
		// Temporal's clients send the workflow id as a gRPC header.
		p.add("conversationIdentifier", "has characters other than ASCII")
	}
	return p.err()
}

// SameSession reports whether two session ids name the same record: the first
// 15 characters of a Salesforce id identify it, with or without the suffix.
func SameSession(a, b string) bool {
	return a != "" && b != "" && a[:min(15, len(a))] == b[:min(15, len(b))]
}

func (p *problems) identifier(field, value string) {
	switch {
	case value == "":
		p.add(field, "is missing")
	case len([]rune(value)) > maxIdentifier:
		p.add(field, "has more than %d characters", maxIdentifier)
	case strings.ContainsFunc(value, unicode.IsControl):
		p.add(field, "contains control characters")
	}
}

func (p *problems) sessionID(value string) {
	if value != "" && !recordID.MatchString(value) {
		p.add("sessionId", "must be a Salesforce record id of 15 or 18 characters")
	}
}
