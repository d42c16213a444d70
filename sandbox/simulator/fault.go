package simulator

import (
	"errors"
	"fmt"
	"time"
)

// MaxLatency bounds Fault.Latency.
const MaxLatency = 10 * time.Minute

// Break is a way to lose or spoil an answer on its way to the client.
type Break string

// The ways to spoil an answer.
const (
	// Reset closes the connection with a TCP reset instead of answering.
	Reset Break = "reset"
	// Truncate sends half of the body and closes the connection.
	Truncate Break = "truncate"
	// NotJSON sends a proxy's HTML page as the body.
	NotJSON Break = "notJSON"
	// Huge sends some megabytes of valid JSON.
	Huge Break = "huge"
)

// Fault makes matching requests fail. The earliest injected fault that matches
// acts, one per request. The zero value of each condition matches anything; at
// least one effect is needed.
//
// By default a fault with only a Latency delays a request that then goes on
// normally, and any other takes the place of the processing. With Process the
// request is carried out first and its true answer delayed, replaced or
// spoiled: the client cannot tell that it succeeded.
type Fault struct {
	// ID names it in the journal; empty lets the simulator choose.
	ID string `json:"id,omitempty"`

	// Path is the endpoint. Empty means any that the effect makes sense for.
	Path                   Path      `json:"path,omitempty"`
	OrgID                  string    `json:"orgId,omitempty"`
	ConversationIdentifier string    `json:"conversationIdentifier,omitempty"`
	Operation              Operation `json:"operation,omitempty"`

	// Times is how many requests it acts on; 0 means no limit.
	Times int `json:"times,omitempty"`
	// For is how long it lasts from its injection, Until when it ends; at most
	// one of them, and neither means for ever.
	For   Duration  `json:"for,omitempty"`
	Until time.Time `json:"until,omitzero"`
	// Share of the matching requests it acts on, by chance, 0 to 1; 0 means all.
	Share float64 `json:"share,omitempty"`

	// Process carries the request out before the fault acts.
	Process bool `json:"process,omitempty"`
	// Latency passes before the answer, unless the client leaves earlier.
	Latency Duration `json:"latency,omitempty"`
	// Answer replaces the answer. One with an ErrorReason acts only on requests
	// that are well-formed, authorized and within the rate limit.
	Answer *Answer `json:"answer,omitempty"`
	// RevokeToken makes the caller's token invalid, which is answered as such.
	RevokeToken bool `json:"revokeToken,omitempty"`
	// Break spoils the answer: Answer, the true one with Process, else success.
	Break Break `json:"break,omitempty"`

	// Acted counts the requests it acted on; the simulator sets it.
	Acted int `json:"acted"`
}

func (f Fault) validate() error {
	switch {
	case f.Path != "" && f.Path != TokenPath && f.Path != ConversationPath && f.Path != MessagingSessionPath:
		return fmt.Errorf("path: %q is none of token, conversation, messagingSession", f.Path)
	case f.Operation != "" && f.Operation != End && f.Operation != Inactivate:
		return fmt.Errorf("operation: %q is neither End nor Inactivate", f.Operation)
	case f.Operation != "" && f.Path != "" && f.Path != MessagingSessionPath:
		return fmt.Errorf("operation: path %s has none", f.Path)
	case f.ConversationIdentifier != "" && f.Path == TokenPath:
		return errors.New("conversationIdentifier: path token has none")
	case f.Times < 0:
		return errors.New("times: must not be negative")
	case f.For < 0:
		return errors.New("for: must not be negative")
	case f.For > 0 && !f.Until.IsZero():
		return errors.New("until: excludes for")
	case !(f.Share >= 0 && f.Share <= 1): // so that NaN is refused too
		return fmt.Errorf("share: %v is not within 0 to 1", f.Share)
	}
	return f.validateEffect()
}

func (f Fault) validateEffect() error {
	switch f.Break {
	case "", Reset, Truncate, NotJSON, Huge:
	default:
		return fmt.Errorf("break: %q is none of reset, truncate, notJSON, huge", f.Break)
	}
	switch {
	case f.Latency < 0 || f.Latency > Duration(MaxLatency):
		return fmt.Errorf("latency: want 0 to %s", MaxLatency)
	case f.RevokeToken && f.Path == TokenPath:
		return errors.New("revokeToken: path token is called without one")
	case f.RevokeToken && f.Answer != nil:
		return errors.New("revokeToken: excludes answer")
	case f.Break == "" && f.Latency == 0 && !f.RevokeToken && f.Answer == nil:
		return errors.New("answer: missing, and so are break, latency and revokeToken; one is needed")
	case f.Answer == nil:
		return nil
	case f.Path == TokenPath && f.Answer.ErrorReason != "":
		return errors.New("answer.errorReason: path token has none")
	}
	if err := f.Answer.validate(); err != nil {
		return fmt.Errorf("answer.%w", err)
	}
	return nil
}

// replaces tells that the fault stands in for the processing.
func (f Fault) replaces() bool {
	return !f.Process && (f.Answer != nil || f.RevokeToken || f.Break != "")
}

func (f Fault) matches(c *call) bool {
	switch {
	case c.path == unknownPath,
		f.Path != "" && f.Path != c.path,
		f.OrgID != "" && f.OrgID != c.orgID(),
		f.ConversationIdentifier != "" && f.ConversationIdentifier != c.fields["conversationIdentifier"],
		f.Operation != "" && string(f.Operation) != c.fields["operation"]:
		return false
	}
	reason := f.Answer != nil && f.Answer.ErrorReason != ""
	if reason && (c.path == TokenPath || !c.wellFormed()) {
		return false
	}
	return !f.RevokeToken || c.path != TokenPath && c.org != nil
}
