// Package strictjson reads JSON that all readers understand in the same way.
// encoding/json replaces invalid UTF-8, takes the last of two equal names, and
// ignores the case of names. So a gateway that checks a request could see another
// value than we do. This package refuses such a text and names the field.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Error is what is wrong in a text, and where. It repeats nothing of the text.
type Error struct {
	// Field is the path of the innermost field that is known, such as
	// "policy.endAfter". Empty if none is known.
	Field   string
	Problem string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Field == "" {
		return e.Problem
	}
	return e.Field + " " + e.Problem
}

// Unmarshal is [Check] and then json.Unmarshal. The error is an [*Error] unless a
// type with its own UnmarshalJSON refuses its value.
func Unmarshal(text []byte, into any) error {
	if err := Check(text, into); err != nil {
		return err
	}
	err := json.Unmarshal(text, into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return &Error{Field: wrong.Field, Problem: "must be " + jsonType(wrong.Type) + ", not a JSON " + wrong.Value}
	}
	return err
}

// Check reports the first thing in a JSON text that readers may understand
// differently: text that is not JSON, invalid UTF-8, a lone surrogate, a name
// that occurs twice, and, in the objects that become a struct of into, names that
// differ only in case from each other or from the name of a field. The error is
// an [*Error].
func Check(text []byte, into any) error {
	c := checker{Decoder: jsontext.NewDecoder(bytes.NewReader(text))}
	if err := c.value(reflect.TypeOf(into), ""); err != nil {
		return err
	}
	if _, err := c.ReadToken(); err == nil {
		return &Error{Problem: "has more than one JSON value"}
	}
	return c.end(text)
}

type checker struct{ *jsontext.Decoder }

// end checks that nothing but white space follows the value.
func (c checker) end(text []byte) error {
	rest := text[min(int(c.InputOffset()), len(text)):]
	if len(bytes.TrimSpace(rest)) > 0 {
		return &Error{Problem: "has more than one JSON value"}
	}
	return nil
}

// value checks the next value. t is the type that it becomes.
func (c checker) value(t reflect.Type, field string) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if leaf, ok := unmarshaler(t); ok {
		text, err := c.ReadValue()
		if err != nil {
			return problem(err, field)
		}
		if err := leaf.UnmarshalJSON(text); err != nil {
			return &Error{Field: field, Problem: err.Error()}
		}
		return nil
	}
	switch kind := c.PeekKind(); {
	case kind == '{' && t != nil && t.Kind() == reflect.Struct:
		return c.object(fieldsOf(t), field)
	case kind == '[' && t != nil && t.Kind() == reflect.Slice:
		return c.array(t.Elem(), field)
	default:
		return problem(c.SkipValue(), field)
	}
}

// unmarshaler returns a new value of a type that reads its own JSON, except of the
// struct types of which the fields are checked one by one.
func unmarshaler(t reflect.Type) (json.Unmarshaler, bool) {
	if t == nil || t.Kind() == reflect.Struct && len(fieldsOf(t)) > 0 {
		return nil, false
	}
	u, ok := reflect.New(t).Interface().(json.Unmarshaler)
	return u, ok
}

func (c checker) array(element reflect.Type, field string) error {
	if _, err := c.ReadToken(); err != nil {
		return problem(err, field)
	}
	for c.PeekKind() != ']' {
		if err := c.value(element, field); err != nil {
			return err
		}
	}
	_, err := c.ReadToken()
	return problem(err, field)
}

func (c checker) object(known fields, field string) error {
	if _, err := c.ReadToken(); err != nil {
		return problem(err, field)
	}
	seen := map[string]bool{}
	for c.PeekKind() != '}' {
		token, err := c.ReadToken()
		if err != nil {
			return problem(err, field)
		}
		name := token.String()
		folded := strings.ToLower(name)
		inner := field
		f, isKnown := known[folded]
		if isKnown {
			inner = strings.TrimPrefix(field+"."+f.name, ".")
		}
		switch {
		case isKnown && f.name != name:
			return &Error{Field: inner, Problem: "is spelled with other upper and lower case"}
		case seen[folded]:
			return &Error{Field: inner, Problem: "has two names that differ only in case"}
		}
		seen[folded] = true
		if err := c.value(f.t, inner); err != nil {
			return err
		}
	}
	_, err := c.ReadToken()
	return problem(err, field)
}

func problem(err error, field string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jsontext.ErrDuplicateName):
		return &Error{Field: field, Problem: "has the same name twice"}
	case strings.Contains(err.Error(), "UTF-8"), strings.Contains(err.Error(), "surrogate"):
		return &Error{Field: field, Problem: "is not valid UTF-8"}
	case strings.Contains(err.Error(), "depth"):
		return &Error{Field: field, Problem: "is nested too deeply"}
	default:
		return &Error{Field: field, Problem: "is not valid JSON"}
	}
}

// fields are the fields of a struct by their JSON names in lower case.
type fields map[string]namedField

type namedField struct {
	name string
	t    reflect.Type
}

var known sync.Map // reflect.Type to fields

func fieldsOf(t reflect.Type) fields {
	if found, ok := known.Load(t); ok {
		return found.(fields) //nolint:forcetypeassert // only fields are stored
	}
	found := fields{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			found[strings.ToLower(name)] = namedField{name: name, t: f.Type}
		}
	}
	known.Store(t, found)
	return found
}

func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "an array"
	default:
		return "a number"
	}
}
