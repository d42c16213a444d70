package cloudevent

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/strictjson"
)

// whole is the field of an error that concerns no field that has a known name.
const whole = "event"

// FieldErrors lists what an error of [Parse] or [FromAttributes] says, field by
// field. Field is a JSON name such as "orgId", or empty where none is known.
func FieldErrors(err error) []conversation.FieldError {
	invalid, ok := errors.AsType[*conversation.InvalidError](err)
	if !ok {
		return []conversation.FieldError{{Problem: err.Error()}}
	}
	found := make([]conversation.FieldError, len(invalid.Fields))
	for i, f := range invalid.Fields {
		if f.Field == whole {
			f = conversation.FieldError{Problem: "the event " + f.Problem}
		}
		found[i] = f
	}
	return found
}

// AttributeError is the error of an attribute. It names the attribute only if it
// is known: another name was made by the client.
func AttributeError(name, problem string) conversation.FieldError {
	if defined[name] {
		return conversation.FieldError{Field: name, Problem: problem}
	}
	return conversation.FieldError{Field: whole, Problem: "has an extension attribute that " + problem}
}

// problems collects the errors of one event.
type problems []conversation.FieldError

func (p *problems) add(name, format string, args ...any) {
	*p = append(*p, AttributeError(name, fmt.Sprintf(format, args...)))
}

// err returns the problems by field, each once.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b conversation.FieldError) int { return cmp.Compare(a.Field, b.Field) })
	return &conversation.InvalidError{Fields: slices.Compact(p)}
}

func invalid(field, problem string) error {
	return &conversation.InvalidError{Fields: []conversation.FieldError{{Field: field, Problem: problem}}}
}

// named returns the errors of a text of JSON as errors of its fields. An error
// that concerns no field in it concerns the text, which is the field in.
func named(err error, in string) error {
	if wrong, ok := errors.AsType[*strictjson.Error](err); ok {
		return invalid(cmp.Or(wrong.Field, in), wrong.Problem)
	}
	wrong, ok := errors.AsType[*conversation.InvalidError](err)
	if !ok {
		return err
	}
	for i := range wrong.Fields {
		if wrong.Fields[i].Field == "payload" {
			wrong.Fields[i].Field = in
		}
	}
	return wrong
}
