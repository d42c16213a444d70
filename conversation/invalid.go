package conversation

import (
	"fmt"
	"strings"
)

// FieldError says which field of an input is wrong and why. Field is the JSON
// name, so that senders in any language recognise it. The value itself is not
// repeated: it may be personal data.
type FieldError struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// Error implements error.
func (e FieldError) Error() string { return e.Field + " " + e.Problem }

// InvalidError lists everything that is wrong with an input, all at once.
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

// problems collects field errors while an input is being checked.
type problems []FieldError

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, FieldError{Field: field, Problem: fmt.Sprintf(format, args...)})
}

func (p *problems) include(err error) {
	if invalid, ok := err.(*InvalidError); ok { //nolint:errorlint // Validate methods of this package return it unwrapped
		*p = append(*p, invalid.Fields...)
	}
}

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &InvalidError{Fields: p}
}
