package conversation

import (
	"errors"
	"fmt"
	"strings"
)

// FieldError says which field is wrong and why. Problem does not contain the
// value of the field, which may be personal data.
type FieldError struct {
	// Field is the JSON name, such as "orgId" or "policy.endAfter".
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// Error implements error.
func (e FieldError) Error() string { return e.Field + " " + e.Problem }

// InvalidError is the error of the Validate methods. It lists every wrong field.
type InvalidError struct {
	Fields []FieldError `json:"fields"`
}

// Error implements error.
func (e *InvalidError) Error() string {
	problems := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		problems[i] = f.Error()
	}
	return "invalid: " + strings.Join(problems, "; ")
}

// problems collects the field errors of one payload.
type problems []FieldError

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, FieldError{Field: field, Problem: fmt.Sprintf(format, args...)})
}

// prefixed adds the problems of an inner object.
func (p *problems) prefixed(object string, check func(*problems)) {
	var inner problems
	check(&inner)
	for _, found := range inner {
		found.Field = object + "." + found.Field
		*p = append(*p, found)
	}
}

func (p *problems) include(err error) {
	if invalid, ok := errors.AsType[*InvalidError](err); ok {
		*p = append(*p, invalid.Fields...)
	}
}

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &InvalidError{Fields: p}
}
