package cloudevent

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"sessionkeeper/conversation"
)

// wrong is an error of one field, with its value where that may be shown.
type wrong struct {
	field, value string
	cause        error
}

func (e *wrong) Error() string {
	if e.value == "" {
		return e.field + ": " + e.cause.Error()
	}
	return e.field + " " + e.value + ": " + e.cause.Error()
}
func (e *wrong) Unwrap() error { return e.cause }

// line says an error in one line.
type line struct{ cause error }

func (e *line) Error() string {
	return strings.ReplaceAll(strings.TrimSpace(e.cause.Error()), "\n", "; ")
}
func (e *line) Unwrap() error { return e.cause }

// Problems lists what an error of [Parse] or [From] says, by field: the innermost
// JSON name that is known. Field is empty where none is.
func Problems(err error) []conversation.FieldError {
	if named := byField(err); len(named) > 0 {
		return named
	}
	return []conversation.FieldError{{Problem: err.Error()}}
}

func byField(err error) (found []conversation.FieldError) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range several.Unwrap() {
			found = append(found, byField(one)...)
		}
		return found
	}
	switch e := err.(type) { //nolint:errorlint // one level at a time
	case nil:
		return nil
	case *conversation.InvalidError:
		return e.Fields
	case event.ValidationError:
		for _, field := range slices.Sorted(maps.Keys(e)) {
			found = append(found, conversation.FieldError{Field: field, Problem: strings.TrimSpace(e[field].Error())})
		}
		return found
	case *wrong:
		if found = byField(e.cause); len(found) == 0 {
			found = []conversation.FieldError{{Field: e.field, Problem: e.cause.Error()}}
		}
		return found
	default:
		return byField(errors.Unwrap(err))
	}
}
