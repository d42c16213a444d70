package simulator

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Success in Behaviour.Transitions means that an operation is allowed.
const Success = "SUCCESS"

// Behaviour settles what Salesforce does not document. The zero value is a
// plausible service; every default named here is inferred.
type Behaviour struct {
	// Transitions says, for an operation on a session of a status, either
	// Success or the ErrorReason of the answer. Pairs that are absent: on Ended
	// both operations answer SESSION_NOT_FOUND, on anything else they succeed
	// (so a repeated Inactivate does).
	Transitions map[Operation]map[Status]string `yaml:"transitions"`
	// Answers replaces the answer to a cause, among them which HTTP status and
	// code go with it.
	Answers map[Cause]Answer `yaml:"answers"`
	// FailuresAsCodes answers business failures by an HTTP status with code and
	// message instead of 200 with success:false.
	FailuresAsCodes bool `yaml:"failuresAsCodes"`
	// SymbolicCodes writes codes as names, as an older release did.
	SymbolicCodes bool `yaml:"symbolicCodes"`
	// CapitalErrorReason spells the field ErrorReason, as the reference page
	// does, instead of errorReason, as the OpenAPI file does.
	CapitalErrorReason bool `yaml:"capitalErrorReason"`
	// ReuseTokens answers repeated grants with the same token while it works.
	ReuseTokens bool `yaml:"reuseTokens"`
	// AdoptUnknown takes a conversation or session that nobody has created for
	// an existing, Active one, so that a routing system can be tried without
	// creating its sessions here first. Salesforce does no such thing.
	AdoptUnknown bool `yaml:"adoptUnknown"`
	// SessionsAppearAfter hides a session made by POST /api/v1/conversation for
	// this long: that call only promises to create it.
	SessionsAppearAfter Duration `yaml:"sessionsAppearAfter"`
}

func (b Behaviour) validate() error {
	var errs []error
	for _, op := range slices.Sorted(maps.Keys(b.Transitions)) {
		if !slices.Contains(operations, op) {
			errs = append(errs, fmt.Errorf("behaviour.transitions: %q is no operation", op))
		}
		for status, answer := range b.Transitions[op] {
			if !slices.Contains(statuses, status) {
				errs = append(errs, fmt.Errorf("behaviour.transitions.%s: %q is no session status", op, status))
			}
			if answer == "" {
				errs = append(errs, fmt.Errorf("behaviour.transitions.%s.%s: empty; want %s or an ErrorReason", op, status, Success))
			}
		}
	}
	for _, cause := range slices.Sorted(maps.Keys(b.Answers)) {
		if _, known := defaultAnswers[cause]; !known {
			errs = append(errs, fmt.Errorf("behaviour.answers: unknown cause %q", cause))
		}
		if err := b.Answers[cause].validate(); err != nil {
			errs = append(errs, fmt.Errorf("behaviour.answers.%s.%w", cause, err))
		}
	}
	if b.SessionsAppearAfter < 0 {
		errs = append(errs, errors.New("behaviour.sessionsAppearAfter: must not be negative"))
	}
	return errors.Join(errs...)
}

// transition is the ErrorReason that answers op on a session of that status, or
// Success.
func (b Behaviour) transition(op Operation, status Status) string {
	if answer, set := b.Transitions[op][status]; set {
		return answer
	}
	if status == StatusEnded {
		return string(SessionNotFound)
	}
	return Success
}

// answer is what a request that failed for the cause is told.
func (b Behaviour) answer(cause Cause) Answer {
	if a, set := b.Answers[cause]; set {
		return a
	}
	a, known := defaultAnswers[cause]
	switch {
	case !known:
		return Answer{ErrorReason: string(cause)}
	case a.ErrorReason != "" && b.FailuresAsCodes:
		a.ErrorReason = ""
	case a.ErrorReason != "":
		return Answer{ErrorReason: a.ErrorReason}
	}
	return a
}
