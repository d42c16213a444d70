package cloudevent

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"sessionkeeper/conversation"
)

// fieldError is the error of one field. Value is empty unless it may be shown.
type fieldError struct {
	field, value string
	cause        error
}

func (e *fieldError) Error() string {
	if e.value == "" {
		return e.field + ": " + e.cause.Error()
	}
	return e.field + " " + e.value + ": " + e.cause.Error()
}
func (e *fieldError) Unwrap() error { return e.cause }

// oneLineError prints its cause in one line.
type oneLineError struct{ cause error }

func (e *oneLineError) Error() string {
	return strings.ReplaceAll(strings.TrimSpace(e.cause.Error()), "\n", "; ")
}
func (e *oneLineError) Unwrap() error { return e.cause }

// FieldErrors lists what an error of [Parse] or [From] says, field by field. Field
// is the innermost JSON name that is known, or empty where none is known.
func FieldErrors(err error) []conversation.FieldError {
	if found := fieldErrors(err); len(found) > 0 {
		return found
	}
	return []conversation.FieldError{{Problem: err.Error()}}
}

func fieldErrors(err error) (found []conversation.FieldError) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			found = append(found, fieldErrors(one)...)
		}
		return found
	}
	switch e := err.(type) { //nolint:errorlint // the tree of errors is walked one level at a time
	case nil:
		return nil
	case *conversation.InvalidError:
		return e.Fields
	case event.ValidationError:
		for _, field := range slices.Sorted(maps.Keys(e)) {
			found = append(found, conversation.FieldError{Field: field, Problem: strings.TrimSpace(e[field].Error())})
		}
		return found
	case *fieldError:
		if found = fieldErrors(e.cause); len(found) == 0 {
			found = []conversation.FieldError{{Field: e.field, Problem: e.cause.Error()}}
		}
		return found
	default:
		return fieldErrors(errors.Unwrap(err))
	}
}
