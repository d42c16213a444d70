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
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is the most levels of a text. Ours have fewer than ten.
const maxDepth = 64

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
		kind, _, _ := strings.Cut(wrong.Value, " ") // the rest is the number itself
		return &Error{Field: wrong.Field, Problem: "must be " + jsonType(wrong.Type) + ", not a JSON " + kind}
	}
	return err
}

// Check reports the first thing in a JSON text that readers may understand
// differently: text that is not JSON, invalid UTF-8, a lone surrogate, a name
// that occurs twice, and, in the objects that become a struct of into, names that
// differ only in case from each other or from the name of a field. The error is
// an [*Error].
func Check(text []byte, into any) error {
	c := checker{Decoder: jsontext.NewDecoder(bytes.NewReader(text)), text: text}
	if err := c.value(reflect.TypeOf(into), ""); err != nil {
		return err
	}
	if _, err := c.ReadToken(); err == nil {
		return &Error{Problem: "has more than one JSON value"}
	}
	return c.end()
}

type checker struct {
	*jsontext.Decoder
	text []byte
}

// end checks that nothing but white space follows the value.
func (c checker) end() error {
	rest := c.text[c.InputOffset():]
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
		text, err := c.leaf(field)
		if err != nil {
			return err
		}
		if err := leaf.UnmarshalJSON(text); err != nil {
			return &Error{Field: field, Problem: err.Error()}
		}
		return nil
	}
	kind := c.PeekKind()
	if t != nil && !fits(t, kind) {
		if err := c.skip(field); err != nil {
			return err
		}
		return &Error{Field: field, Problem: "must be " + jsonType(t) + ", not a JSON " + kindName(kind)}
	}
	switch {
	case kind == '{' && t != nil && t.Kind() == reflect.Struct:
		return c.object(fieldsOf(t), field)
	case kind == '[' && t != nil && t.Kind() == reflect.Slice:
		return c.array(t.Elem(), field)
	case kind == '0' && t != nil && t.Kind() == reflect.Int:
		return c.integer(field)
	default:
		return c.skip(field)
	}
}

// integer checks a number that becomes an int.
func (c checker) integer(field string) error {
	text, err := c.leaf(field)
	if err != nil {
		return err
	}
	if _, err := strconv.Atoi(string(text)); err != nil {
		return &Error{Field: field, Problem: "must be a whole number"}
	}
	return nil
}

// fits reports whether a value of this kind can become a type. Null is absent. A text
// that is not JSON is refused later.
func fits(t reflect.Type, kind jsontext.Kind) bool {
	if kindName(kind) == "null" || kindName(kind) == "" {
		return true
	}
	switch t.Kind() {
	case reflect.String:
		return kind == '"'
	case reflect.Bool:
		return kind == 't' || kind == 'f'
	case reflect.Int, reflect.Int64, reflect.Float64:
		return kind == '0'
	case reflect.Struct, reflect.Map:
		return kind == '{'
	default:
		return true
	}
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case 'n':
		return "null"
	case '"':
		return "string"
	case 't', 'f':
		return "bool"
	case '0':
		return "number"
	case '{':
		return "object"
	case '[':
		return "array"
	default:
		return ""
	}
}

// skip checks a value of which the fields are not known.
func (c checker) skip(field string) error {
	for outside := c.StackDepth(); ; {
		if _, err := c.ReadToken(); err != nil {
			return problem(err, field)
		}
		switch depth := c.StackDepth(); {
		case depth > maxDepth:
			return &Error{Field: field, Problem: "is nested too deeply"}
		case depth <= outside:
			return nil
		}
	}
}

// leaf checks a value that its own type reads, and returns its text.
func (c checker) leaf(field string) (text []byte, err error) {
	begin := c.InputOffset()
	if err := c.skip(field); err != nil {
		return nil, err
	}
	return bytes.TrimLeft(c.text[begin:c.InputOffset()], " \t\r\n,:"), nil
}

// unmarshaler returns a new value of a type that reads its own JSON, except of the
// struct types of which the fields are checked one by one.
func unmarshaler(t reflect.Type) (json.Unmarshaler, bool) {
	if t == nil || t.Kind() == reflect.Struct && len(fieldsOf(t)) > 0 {
		return nil, false
	}
	return reflect.TypeAssert[json.Unmarshaler](reflect.New(t))
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
			inner := known.within(field, lastName(err))
			if errors.Is(err, jsontext.ErrDuplicateName) && inner != field {
				return &Error{Field: inner, Problem: "occurs twice"}
			}
			return problem(err, inner)
		}
		name := token.String()
		folded := fold(name)
		f, isKnown := known[folded]
		inner := known.within(field, folded)
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

// lastName is the name at which the text is wrong.
func lastName(err error) string {
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return syntactic.JSONPointer.LastToken()
	}
	return ""
}

func problem(err error, field string) error {
	// The text of the error itself has the names around the place.
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok && syntactic.Err != nil {
		err = syntactic.Err
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jsontext.ErrDuplicateName):
		return &Error{Field: field, Problem: "has a name that occurs twice"}
	case strings.Contains(err.Error(), "UTF-8"), strings.Contains(err.Error(), "surrogate"):
		return &Error{Field: field, Problem: "is not valid UTF-8"}
	default:
		return &Error{Field: field, Problem: "is not valid JSON"}
	}
}

// fields are the fields of a struct by their JSON names in lower case.
type fields map[string]namedField

// fold maps names that encoding/json takes for the same to one: it ignores case, also
// of the letters ſ and K.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

// within returns the path of the field of this name, or of the object around it if
// the name is not known.
func (f fields) within(object, name string) string {
	if found, ok := f[fold(name)]; ok {
		return strings.TrimPrefix(object+"."+found.name, ".")
	}
	return object
}

type namedField struct {
	name string
	t    reflect.Type
}

var known sync.Map // reflect.Type to fields

func fieldsOf(t reflect.Type) fields {
	if stored, ok := known.Load(t); ok {
		if found, ok := stored.(fields); ok {
			return found
		}
	}
	found := fields{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			found[fold(name)] = namedField{name: name, t: f.Type}
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
	case reflect.Int:
		return "a whole number"
	default:
		return "a number"
	}
}
