package simulator

import (
	"net/http"
	"slices"
)

// Operation of POST /api/v1/messagingSession.
type Operation string

// The documented operations.
const (
	End        Operation = "End"
	Inactivate Operation = "Inactivate"
)

var operations = []Operation{End, Inactivate}

// operators are the documented values of operationBy.
var operators = []string{"EndUser", "System"}

// newStatus is the status of a session after the operation succeeded.
func (op Operation) newStatus() Status {
	if op == End {
		return StatusEnded
	}
	return StatusInactive
}

// checkOperation checks the fields that only POST /api/v1/messagingSession has.
func (req *request) checkOperation() {
	op := Operation(req.fields["operation"])
	if op != "" && !slices.Contains(operations, op) {
		req.violate(InvalidField, "operation: neither End nor Inactivate")
	}
	if by, set := req.fields["operationBy"]; set && !slices.Contains(operators, by) {
		req.violate(InvalidField, "operationBy: neither EndUser nor System")
	}
	if op == Inactivate && req.fields["sessionId"] == "" {
		req.violate(SessionIDRequired, "sessionId: missing, Inactivate requires it")
	}
}

// applyOperation processes POST /api/v1/messagingSession.
func (s *Simulator) applyOperation(req *request) result {
	if s.config.Behaviour.AdoptUnknown {
		req.org.sessions.addUnknown(req, s.now())
	}
	before, after, cause := req.org.sessions.apply(req, s.config.Behaviour.transition, s.now())
	res := result{response: success()}
	if cause != "" {
		res = s.failure(req, cause)
	}
	res.before, res.after = before, after
	return res
}

func success() response {
	return response{status: http.StatusOK, success: true, body: map[string]any{"success": true}}
}
