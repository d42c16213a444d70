package activities

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/interaction"
)

// explain returns the error message for an operator who opens the conversation
// in the Web UI: what happened, then what to check. It does not repeat the error's
// type and details.
func explain(op conversation.Operation, d Decision, err error) string {
	cause, facts := failureText(err), ""
	result := "was not sent"
	if apiErr, ok := errors.AsType[*interaction.Error](err); ok && !apiErr.NotSent {
		cause = cmp.Or(cause, string(apiErr.Reason), http.StatusText(apiErr.HTTPStatus), d.Reason)
		result, facts = "failed", statusAndCode(apiErr)
		if apiErr.Err != nil {
			result = "got no usable answer"
		}
	}
	message := fmt.Sprintf("%s %s: %s%s.", op, result, strings.TrimRight(cause, ". "), facts)
	if d.Verdict == Operator && d.Tries > 0 {
		message += fmt.Sprintf(" Given up after %d tries.", d.Tries)
	}
	if d.Hint != "" {
		message += " " + d.Hint
	}
	return message
}

// failureText is Salesforce's message, or the reason why there is none. It is
// empty if the answer has only an errorReason or a status.
func failureText(err error) string {
	apiErr, ok := errors.AsType[*interaction.Error](err)
	switch {
	case errors.Is(err, ErrInterrupted):
		return ErrInterrupted.Error()
	case !ok:
		return err.Error()
	case apiErr.Err != nil && apiErr.Message != "":
		return fmt.Sprintf("%v: %s", apiErr.Err, apiErr.Message)
	case apiErr.Err != nil:
		return apiErr.Err.Error()
	case apiErr.Message == "" && isUnexplained(apiErr):
		return "success is false and no reason is given"
	default:
		return apiErr.Message
	}
}

func statusAndCode(apiErr *interaction.Error) string {
	switch {
	case apiErr.HTTPStatus == 0:
		return ""
	case apiErr.Code == "":
		return fmt.Sprintf(" (HTTP %d)", apiErr.HTTPStatus)
	default:
		return fmt.Sprintf(" (HTTP %d, code %s)", apiErr.HTTPStatus, apiErr.Code)
	}
}
