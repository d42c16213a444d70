package simulator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// MaxLatency is the longest Fault.Latency.
const MaxLatency = 10 * time.Minute

// Break is a way to break a response before it reaches the client.
type Break string

// The ways to break a response.
const (
	// Reset closes the connection with a TCP reset and sends no response.
	Reset Break = "reset"
	// Truncate sends half of the body and closes the connection.
	Truncate Break = "truncate"
	// NotJSON sends an HTML page as the body, as a proxy would.
	NotJSON Break = "notJSON"
	// Huge sends 8 MiB of valid JSON.
	Huge Break = "huge"
)

// Fault makes matching requests fail. At most one fault acts on a request: the
// one that matches and was injected first. An empty condition matches every
// request. At least one effect is required.
//
// With only a Latency, the request is delayed and then processed. With any other
// effect, the request is not processed. With Process, the request is processed
// first and then its response is delayed, replaced or broken: the client cannot
// know that the request succeeded.
type Fault struct {
	// ID identifies the fault in the journal; empty means that the simulator
	// chooses one.
	ID string `json:"id,omitempty"`

	// Endpoint, OrgID, ConversationIdentifier and Operation are conditions.
	Endpoint               Endpoint  `json:"path,omitempty"`
	OrgID                  string    `json:"orgId,omitempty"`
	ConversationIdentifier string    `json:"conversationIdentifier,omitempty"`
	Operation              Operation `json:"operation,omitempty"`

	// Times is the number of requests that the fault acts on; 0 means no limit.
	Times int `json:"times,omitempty"`
	// For is how long the fault lasts from its injection; 0 means no limit. It
	// cannot be combined with Until.
	For Duration `json:"for,omitempty"`
	// Until is when the fault ends; zero means no limit.
	Until time.Time `json:"until,omitzero"`
	// Share is the part of the matching requests, from 0 to 1, that the fault
	// acts on. They are chosen at random. 0 means all.
	Share float64 `json:"share,omitempty"`

	// Process processes the request before the fault acts.
	Process bool `json:"process,omitempty"`
	// Latency is how long the response is delayed. The wait ends early if the
	// client closes the connection.
	Latency Duration `json:"latency,omitempty"`
	// Answer replaces the response. An Answer with an ErrorReason acts only on
	// requests that are well-formed, authorized and within the rate limit.
	Answer *Answer `json:"answer,omitempty"`
	// RevokeToken makes the client's access token invalid and answers the
	// request accordingly.
	RevokeToken bool `json:"revokeToken,omitempty"`
	// Break breaks the response. That is the Answer, if set; with Process the
	// real response; else a success.
	Break Break `json:"break,omitempty"`

	// Acted is how many requests the fault has acted on. The simulator sets it.
	Acted int `json:"acted"`
}

func (f Fault) validate() error {
	switch {
	case f.Endpoint != "" && f.Endpoint != TokenEndpoint && f.Endpoint != ConversationEndpoint &&
		f.Endpoint != MessagingSessionEndpoint:
		return fmt.Errorf("path: %q is none of token, conversation, messagingSession", f.Endpoint)
	case f.Operation != "" && !slices.Contains(operations, f.Operation):
		return fmt.Errorf("operation: %q is neither End nor Inactivate", f.Operation)
	case f.Operation != "" && f.Endpoint != "" && f.Endpoint != MessagingSessionEndpoint:
		return fmt.Errorf("operation: requests to endpoint %s have none", f.Endpoint)
	case f.ConversationIdentifier != "" && f.Endpoint == TokenEndpoint:
		return errors.New("conversationIdentifier: requests to endpoint token have none")
	case f.Times < 0:
		return errors.New("times: must not be negative")
	case f.For < 0:
		return errors.New("for: must not be negative")
	case f.For > 0 && !f.Until.IsZero():
		return errors.New("until: cannot be combined with for")
	case !(f.Share >= 0 && f.Share <= 1): // written so that NaN is invalid
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
	case f.RevokeToken && f.Endpoint == TokenEndpoint:
		return errors.New("revokeToken: requests to endpoint token have no access token")
	case f.RevokeToken && f.Answer != nil:
		return errors.New("revokeToken: cannot be combined with answer")
	case f.Break == "" && f.Latency == 0 && !f.RevokeToken && f.Answer == nil:
		return errors.New("answer: missing; one of answer, break, latency and revokeToken is required")
	case f.Answer == nil:
		return nil
	case f.Endpoint == TokenEndpoint && f.Answer.ErrorReason != "":
		return errors.New("answer.errorReason: responses of endpoint token have none")
	}
	if err := f.Answer.validate(); err != nil {
		return fmt.Errorf("answer.%w", err)
	}
	return nil
}

// skipsProcessing reports whether requests that the fault acts on are not
// processed.
func (f Fault) skipsProcessing() bool {
	return !f.Process && (f.Answer != nil || f.RevokeToken || f.Break != "")
}

func (f Fault) matches(req *request) bool {
	switch {
	case req.endpoint == unknownEndpoint,
		f.Endpoint != "" && f.Endpoint != req.endpoint,
		f.OrgID != "" && f.OrgID != req.orgID(),
		f.ConversationIdentifier != "" && f.ConversationIdentifier != req.fields["conversationIdentifier"],
		f.Operation != "" && string(f.Operation) != req.fields["operation"]:
		return false
	}
	businessFailure := f.Answer != nil && f.Answer.ErrorReason != ""
	if businessFailure && (req.endpoint == TokenEndpoint || !req.isWellFormed()) {
		return false
	}
	return !f.RevokeToken || req.endpoint != TokenEndpoint && req.org != nil
}

// applyFault lets a fault act on a request.
func (s *Simulator) applyFault(ctx context.Context, req *request, fault Fault) result {
	res := result{response: success()}
	if fault.Process {
		res = s.process(req)
	}
	if !sleep(ctx, time.Duration(fault.Latency)) {
		res.clientGone = true
		return res
	}
	if !fault.Process && !fault.skipsProcessing() {
		res = s.process(req)
	}
	switch {
	case fault.RevokeToken:
		s.tokens.revoke(req.token)
		res.response = s.errorResponse(req, s.config.Behaviour.answerTo(InvalidToken))
	case fault.Answer != nil:
		res.response = s.errorResponse(req, *fault.Answer)
	}
	res.breakage = fault.Break
	return res
}

// sleep waits for d. It returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// faults holds the active faults in order of injection.
type faults struct {
	mu       sync.Mutex
	random   *rand.Rand
	active   []*Fault
	injected int
}

func newFaults(seed uint64) *faults {
	return &faults{random: rand.New(rand.NewPCG(seed, seed))} //nolint:gosec // repeatable, not a secret
}

func (all *faults) inject(f Fault, now time.Time) (string, error) {
	if err := f.validate(); err != nil {
		return "", fmt.Errorf("%w: fault: %w", ErrInvalid, err)
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	all.removeEnded(now)
	all.injected++
	if f.ID == "" {
		f.ID = fmt.Sprintf("fault-%d", all.injected)
	}
	if slices.ContainsFunc(all.active, func(other *Fault) bool { return other.ID == f.ID }) {
		return "", fmt.Errorf("%w: fault: id: %q is active already", ErrInvalid, f.ID)
	}
	if f.For > 0 {
		f.Until = now.Add(time.Duration(f.For))
	}
	if f.Answer != nil {
		answer := *f.Answer
		f.Answer = &answer
	}
	f.Acted = 0
	all.active = append(all.active, &f)
	return f.ID, nil
}

// remove removes a fault and reports whether it was active.
func (all *faults) remove(id string) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	before := len(all.active)
	all.active = slices.DeleteFunc(all.active, func(f *Fault) bool { return f.ID == id })
	return len(all.active) < before
}

func (all *faults) removeAll() {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.active = nil
}

func (all *faults) list(now time.Time) []Fault {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.removeEnded(now)
	copies := make([]Fault, 0, len(all.active))
	for _, f := range all.active {
		copies = append(copies, *f)
	}
	return copies
}

// match returns the fault that acts on req, and counts it.
func (all *faults) match(req *request, now time.Time) (Fault, bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.removeEnded(now)
	for _, f := range all.active {
		if f.matches(req) && (f.Share == 0 || all.random.Float64() < f.Share) {
			f.Acted++
			return *f, true
		}
	}
	return Fault{}, false
}

// removeEnded removes the faults that have reached their Times or their Until.
func (all *faults) removeEnded(now time.Time) {
	all.active = slices.DeleteFunc(all.active, func(f *Fault) bool {
		return f.Times > 0 && f.Acted >= f.Times || !f.Until.IsZero() && !now.Before(f.Until)
	})
}
