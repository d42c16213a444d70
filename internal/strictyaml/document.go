// Package strictyaml reads configuration files: one YAML document with known fields
// only. Every problem is reported with its line, in words for an operator.
package strictyaml

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ErrEmpty is the error of a text without a document.
var ErrEmpty = errors.New("the file is empty")

// Document is a text that was decoded, with the problems that were found in it.
type Document struct {
	root     yaml.Node
	problems []problem
}

// problem is one mistake in a document.
type problem struct {
	line int
	text string
	// unreadable: the value on this line has the wrong type. Then the rules for
	// the value are not checked.
	unreadable bool
}

// Decode decodes the only document of a text into value, a pointer. A value of the
// wrong type is a problem of the document. The error says why the document cannot be
// read any further.
//
// Types describes Go types that are not scalar, by their name in Go, such as
// "[]service.Org": "want a list of orgs". The values of such types are not repeated,
// because they may contain secrets.
func Decode(text []byte, value any, types map[string]string) (*Document, error) {
	d := &Document{}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	err := decoder.Decode(value)
	if errors.Is(err, io.EOF) {
		return nil, ErrEmpty
	}
	if wrong, ok := errors.AsType[*yaml.TypeError](err); ok {
		d.addTypeErrors(wrong, types)
	} else if err != nil {
		return nil, notYAML(err)
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New(`the file has a second YAML document, after a line "---": want one document`)
	}
	if d.isIncomplete() {
		return nil, d.Err()
	}
	if err := yaml.Unmarshal(text, &d.root); err != nil {
		return nil, notYAML(err)
	}
	return d, nil
}

func notYAML(err error) error {
	return fmt.Errorf("the file is not valid YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
}

// Add adds a problem of a setting.
func (d *Document) Add(p Path, format string, args ...any) {
	line := d.lineOf(p)
	if slices.ContainsFunc(d.problems, func(found problem) bool { return found.unreadable && found.line == line }) {
		return
	}
	d.problems = append(d.problems, problem{line: line, text: p.String() + ": " + fmt.Sprintf(format, args...)})
}

// Part returns the same document without the problems that were found so far, to check a
// part of it on its own.
func (d *Document) Part() *Document { return &Document{root: d.root} }

// AddErr adds an error as a problem of a setting. Nil is none.
func (d *Document) AddErr(p Path, err error) {
	if err != nil {
		d.Add(p, "%v", err)
	}
}

// Err returns all problems in one error, one per line, or nil.
func (d *Document) Err() error {
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, func(a, b problem) int { return cmp.Compare(a.line, b.line) })
	lines := make([]string, len(d.problems))
	for i, found := range d.problems {
		lines[i] = fmt.Sprintf("line %d: %s", found.line, found.text)
	}
	return errors.New(strings.Join(lines, "\n"))
}
