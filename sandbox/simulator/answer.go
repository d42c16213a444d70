package simulator

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Answer is how a request is turned down: either a business failure (an
// ErrorReason, in a 2xx answer with success:false) or an HTTP status with a
// code and a message. On the token endpoint Symbol is the OAuth error and
// Message its description.
type Answer struct {
	// ErrorReason makes it a business failure. Salesforce's enum has grown
	// before, so any name is accepted.
	ErrorReason string `json:"errorReason,omitempty" yaml:"errorReason"`
	// Status is the HTTP status. 0 means 200 for an ErrorReason, else the
	// status that goes with Code, else 400.
	Status int `json:"status,omitempty" yaml:"status"`
	// Code is the numeric code; 0 means the HTTP status.
	Code int `json:"code,omitempty" yaml:"code"`
	// Symbol is the code's name, sent instead of Code when that is 0 or when
	// Behaviour.SymbolicCodes says so.
	Symbol string `json:"symbol,omitempty" yaml:"symbol"`
	// Message may hold {orgId}, {channelAddressIdentifier}, {endUserClientId},
	// {conversationIdentifier} and {sessionId}, which echo the request, as
	// Salesforce's messages sometimes do. Empty means a text that echoes the
	// end user, so that a client which logs it raw is caught leaking.
	Message string `json:"message,omitempty" yaml:"message"`
	// RetryAfter is sent in the header of that name, in whole seconds rounded
	// up; 0 means no header.
	RetryAfter Duration `json:"retryAfter,omitempty" yaml:"retryAfter"`
	// RetryAfterDate writes that header as an HTTP date.
	RetryAfterDate bool `json:"retryAfterDate,omitempty" yaml:"retryAfterDate"`
}

func (a Answer) validate() error {
	switch {
	case a == Answer{}:
		return errors.New("errorReason: missing, and so are status, code and symbol; one is needed")
	case a.Status != 0 && (a.Status < 200 || a.Status > 599):
		return fmt.Errorf("status: %d is not within 200 to 599", a.Status)
	case a.ErrorReason != "" && a.Status > 299:
		return fmt.Errorf("status: %d with an errorReason, which only a 2xx answer carries", a.Status)
	case a.ErrorReason != "" && (a.Code != 0 || a.Symbol != "" || a.Message != ""):
		return errors.New("errorReason: excludes code, symbol and message")
	case a.ErrorReason == "" && a.Status == 0 && a.Code == 0 && a.Symbol == "":
		return errors.New("status: missing, and so are code and symbol; one is needed")
	case a.Code < 0:
		return errors.New("code: must not be negative")
	case a.RetryAfter < 0:
		return errors.New("retryAfter: must not be negative")
	case a.RetryAfterDate && a.RetryAfter == 0:
		return errors.New("retryAfterDate: needs retryAfter")
	}
	return nil
}

// complete fills in what was left to default.
func (a Answer) complete() Answer {
	if a.ErrorReason != "" {
		if a.Status == 0 {
			a.Status = http.StatusOK
		}
		return a
	}
	known := answerWithCode(a.Code)
	if a.Status == 0 {
		a.Status = known.Status
	}
	if a.Status == 0 {
		a.Status = http.StatusBadRequest
	}
	if a.Code == 0 && a.Symbol == "" {
		a.Code = a.Status
		known = answerWithCode(a.Code)
	}
	if a.Symbol == "" {
		a.Symbol = known.Symbol
	}
	if a.Message == "" {
		a.Message = known.Message
	}
	if a.Message == "" {
		a.Message = http.StatusText(a.Status) + " (endUserClientId {endUserClientId})"
	}
	return a
}

// reply is an answer on its way out.
type reply struct {
	status      int
	retryAfter  string
	body        map[string]any
	code        int
	symbol      string
	errorReason string
	success     bool
}

func (s *Simulator) turnDown(c *call, a Answer) reply {
	a = a.complete()
	r := reply{status: a.Status, retryAfter: a.retryAfterHeader(s.now()), code: a.Code, symbol: a.Symbol, errorReason: a.ErrorReason}
	switch {
	case a.ErrorReason != "":
		r.body = map[string]any{"success": false, s.errorReasonField(): a.ErrorReason}
	case c.path == TokenPath:
		r.errorReason = a.Symbol
		r.body = map[string]any{"error": a.oauthError(), "error_description": c.echo(a.Message)}
	default:
		r.body = map[string]any{"code": s.codeField(a), "message": c.echo(a.Message)}
	}
	return r
}

func (s *Simulator) errorReasonField() string {
	if s.config.Behaviour.CapitalErrorReason {
		return "ErrorReason"
	}
	return "errorReason"
}

func (s *Simulator) codeField(a Answer) any {
	if a.Symbol != "" && (a.Code == 0 || s.config.Behaviour.SymbolicCodes) {
		return a.Symbol
	}
	return a.Code
}

func (a Answer) oauthError() string {
	if a.Symbol == "" {
		return "unknown_error"
	}
	return a.Symbol
}

func (a Answer) retryAfterHeader(now time.Time) string {
	wait := time.Duration(a.RetryAfter)
	switch {
	case wait == 0:
		return ""
	case a.RetryAfterDate:
		// The date has whole seconds: round up, lest the client comes early.
		return now.Add(wait + time.Second - 1).UTC().Format(http.TimeFormat)
	}
	return strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)
}

// echo replaces the placeholders of a message by what the request said.
func (c *call) echo(message string) string {
	return strings.NewReplacer(
		"{orgId}", c.orgID(),
		"{channelAddressIdentifier}", c.fields["channelAddressIdentifier"],
		"{endUserClientId}", c.fields["endUserClientId"],
		"{conversationIdentifier}", c.fields["conversationIdentifier"],
		"{sessionId}", c.fields["sessionId"],
	).Replace(message)
}
