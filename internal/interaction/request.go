package interaction

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Operation is an operation on a messaging session.
type Operation string

// The operations that Salesforce documents.
const (
	// End ends the session.
	End Operation = "End"
	// Inactivate marks the session as Inactive.
	Inactivate Operation = "Inactivate"
)

// OperationBy says who caused the operation. It may be empty.
type OperationBy string

// The values of OperationBy that Salesforce documents.
const (
	// ByEndUser is an operation caused by the end user, such as a hang-up.
	ByEndUser OperationBy = "EndUser"
	// BySystem is an operation caused by the partner's system, such as a timer.
	BySystem OperationBy = "System"
)

// ErrInvalidRequest is wrapped by the error of a [Request] that is invalid and was
// not sent. A retry cannot help.
var ErrInvalidRequest = errors.New("invalid request")

// Request is one call of POST /api/v1/messagingSession.
//
// EndUserClientID may be a phone number or another personal identifier. So it is
// hidden when a Request is formatted (with any verb) or logged with slog, and it is
// not in the JSON form of a Request. Do not store a Request.
type Request struct {
	// OrgID is the org's 15-character id (header OrgId). Required.
	OrgID string
	// AuthorizationContext is the developer name of the
	// ConversationChannelDefinition (header AuthorizationContext). Required.
	AuthorizationContext string

	// ChannelAddressIdentifier is MessagingChannel.ChannelAddressIdentifier,
	// at most 240 characters. Required.
	ChannelAddressIdentifier string
	// EndUserClientID is the id of the end user in the partner's system, at most 240
	// characters. Required.
	EndUserClientID string `json:"-"`
	// ConversationIdentifier is Salesforce's identifier of the conversation.
	// Required.
	ConversationIdentifier string
	// SessionID is the id of the MessagingSession record. Optional here. But
	// Salesforce answers an Inactivate without it with error 10106.
	SessionID string

	// Operation is [End] or [Inactivate]. Required.
	Operation Operation
	// OperationBy is [ByEndUser], [BySystem] or empty.
	OperationBy OperationBy

	// RequestID is the header RequestId of the first HTTP request of this call. If
	// the access token is rejected, the second request has the [ResendID] of it.
	// Required.
	RequestID uuid.UUID
}

// ResendID returns the RequestId of the second HTTP request of a call. It is always
// the same for the same first id.
func ResendID(first uuid.UUID) uuid.UUID {
	return uuid.NewSHA1(first, []byte("2"))
}

// maxFieldLength is Salesforce's documented limit for two fields of the body, in
// characters. We use the same limit for every text.
const maxFieldLength = 240

// Validate checks every field. The error wraps [ErrInvalidRequest], names every
// wrong field and contains no value.
func (r Request) Validate() error {
	err := joinErrors(
		fieldError("OrgID", checkOrgID(r.OrgID)),
		fieldError("AuthorizationContext", checkHeader(r.AuthorizationContext)),
		fieldError("ChannelAddressIdentifier", checkRequired(r.ChannelAddressIdentifier)),
		fieldError("EndUserClientID", checkRequired(r.EndUserClientID)),
		fieldError("ConversationIdentifier", checkRequired(r.ConversationIdentifier)),
		fieldError("SessionID", checkText(r.SessionID)),
		fieldError("Operation", checkOneOf(r.Operation, End, Inactivate)),
		fieldError("OperationBy", checkOneOf(r.OperationBy, "", ByEndUser, BySystem)),
		fieldError("RequestID", checkRequestID(r.RequestID)),
	)
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrInvalidRequest, err)
}

func checkOrgID(id string) error {
	if len(id) != 15 || strings.ContainsFunc(id, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		return errors.New("must be the org's 15-character id, of letters and digits")
	}
	return nil
}

// checkHeader accepts only visible ASCII. Other characters cannot be sent in a header
// without a change, and a line break would start another header.
func checkHeader(value string) error {
	if err := checkRequired(value); err != nil {
		return err
	}
	return errorIf(!isVisibleASCII(value), "must consist of visible ASCII characters")
}

func checkRequired(value string) error {
	if strings.TrimSpace(value) == "" {
		return errors.New("is required")
	}
	return checkText(value)
}

func checkText(value string) error {
	switch {
	case !utf8.ValidString(value):
		return errors.New("must be valid UTF-8")
	case strings.ContainsFunc(value, unicode.IsControl):
		return errors.New("must not contain control characters")
	case utf8.RuneCountInString(value) > maxFieldLength:
		return fmt.Errorf("must have at most %d characters, has %d", maxFieldLength, utf8.RuneCountInString(value))
	}
	return nil
}

func checkOneOf[T ~string](value T, allowed ...T) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	names := make([]string, 0, len(allowed))
	for _, name := range allowed {
		if name == "" {
			name = "empty"
		}
		names = append(names, string(name))
	}
	return fmt.Errorf("must be one of: %s", strings.Join(names, ", "))
}

func checkRequestID(id uuid.UUID) error {
	return errorIf(id == uuid.Nil, "is required")
}

// isVisibleASCII reports whether the text is not empty and has only ASCII characters
// that are neither spaces nor control characters.
func isVisibleASCII(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// body returns the JSON body that Salesforce documents.
func (r Request) body() ([]byte, error) {
	return json.Marshal(struct {
		ChannelAddressIdentifier string      `json:"channelAddressIdentifier"`
		EndUserClientID          string      `json:"endUserClientId"`
		ConversationIdentifier   string      `json:"conversationIdentifier"`
		SessionID                string      `json:"sessionId,omitempty"`
		Operation                Operation   `json:"operation"`
		OperationBy              OperationBy `json:"operationBy,omitempty"`
	}{
		r.ChannelAddressIdentifier, r.EndUserClientID, r.ConversationIdentifier,
		r.SessionID, r.Operation, r.OperationBy,
	})
}

// LogValue returns every field. EndUserClientID is hidden.
func (r Request) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("operation", string(r.Operation)),
		slog.String("operationBy", string(r.OperationBy)),
		slog.String("orgId", r.OrgID),
		slog.String("authorizationContext", r.AuthorizationContext),
		slog.String("channelAddressIdentifier", r.ChannelAddressIdentifier),
		slog.String("endUserClientId", mask(r.EndUserClientID)),
		slog.String("conversationIdentifier", r.ConversationIdentifier),
		slog.String("sessionId", r.SessionID),
		slog.String("requestId", r.RequestID.String()),
	)
}

// Format writes the same as LogValue, for every verb.
func (r Request) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "interaction.Request%v", r.LogValue().Group())
}
