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

// explain is the error's message, for whoever opens the conversation in the
// Web UI: what happened, then what to look at. It leaves out what the error's
// type and details say.
func explain(op conversation.Operation, d Decision, err error) string {
	what, facts := said(err), ""
	became := "was not sent"
	if refused, ok := errors.AsType[*interaction.Error](err); ok && !refused.NotSent {
		what = cmp.Or(what, string(refused.Reason), http.StatusText(refused.HTTPStatus), d.Reason)
		became, facts = "failed", statusAndCode(refused)
		if refused.Err != nil {
			became = "got no usable answer"
		}
	}
	message := fmt.Sprintf("%s %s: %s%s.", op, became, strings.TrimRight(what, ". "), facts)
	if d.Verdict == Operator && d.Tries > 0 {
		message += fmt.Sprintf(" Given up after %d tries.", d.Tries)
	}
	if d.Hint != "" {
		message += " " + d.Hint
	}
	return message
}

// said is Salesforce's message, or why there is none. It is empty when an
// errorReason or a status is all that was said.
func said(err error) string {
	refused, ok := errors.AsType[*interaction.Error](err)
	switch {
	case !ok:
		return err.Error()
	case refused.Err != nil && refused.Message != "":
		return fmt.Sprintf("%v: %s", refused.Err, refused.Message)
	case refused.Err != nil:
		return refused.Err.Error()
	case refused.Message == "" && refused.Reason == "" && isSuccess(refused.HTTPStatus):
		return "success is false and no reason is given"
	default:
		return refused.Message
	}
}

func statusAndCode(refused *interaction.Error) string {
	switch {
	case refused.HTTPStatus == 0:
		return ""
	case refused.Code == "":
		return fmt.Sprintf(" (HTTP %d)", refused.HTTPStatus)
	default:
		return fmt.Sprintf(" (HTTP %d, code %s)", refused.HTTPStatus, refused.Code)
	}
}
