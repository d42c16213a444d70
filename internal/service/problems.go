package service

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// problem is one thing that is wrong in a configuration, with its line.
type problem struct {
	line int
	text string
	// unread is whether the value on this line could not be read, so that
	// nothing can be said about what it should hold.
	unread bool
}

type problems []problem

func (p *problems) err() error {
	if len(*p) == 0 {
		return nil
	}
	slices.SortStableFunc(*p, func(a, b problem) int { return cmp.Compare(a.line, b.line) })
	lines := make([]string, len(*p))
	for i, found := range *p {
		lines[i] = fmt.Sprintf("  line %d: %s", found.line, found.text)
	}
	return errors.New(strings.Join(lines, "\n"))
}

func (p *problems) unread(line int) bool {
	return slices.ContainsFunc(*p, func(found problem) bool { return found.unread && found.line == line })
}

// lost reports whether settings were not read at all: the library gives up on
// those among which one is set twice.
func (p *problems) lost() bool {
	return slices.ContainsFunc(*p, func(found problem) bool { return setTwice.MatchString(found.text) })
}

// The library's own messages name Go types, which mean nothing to an operator.
var (
	atLine       = regexp.MustCompile(`(?s)^line (\d+): (.*)$`)
	unknownField = regexp.MustCompile(`^field (.+) not found in type .*$`)
	setTwice     = regexp.MustCompile(`^mapping key .* already defined at line \d+$`)
	wrongType    = regexp.MustCompile("(?s)^cannot unmarshal \\S+(?: `(.*)`)? into (.*)$")
)

// wanted is what a value of a Go type is to an operator.
var wanted = map[string]string{
	"string":        "a text",
	"int":           "a whole number",
	"float64":       "a number",
	"bool":          "true or false",
	"time.Duration": `a duration such as "10s"`,
	"[]service.Org": "a list of orgs",
}

// mistyped adds what the YAML library could not decode.
func (p *problems) mistyped(err *yaml.TypeError) {
	for _, message := range err.Errors {
		found := problem{text: message}
		if parts := atLine.FindStringSubmatch(message); parts != nil {
			_, _ = fmt.Sscan(parts[1], &found.line)
			found.text = parts[2]
		}
		if parts := unknownField.FindStringSubmatch(found.text); parts != nil {
			found.text = "unknown field " + parts[1]
		} else if parts := wrongType.FindStringSubmatch(found.text); parts != nil {
			found.text, found.unread = mistake(parts[1], parts[2]), true
		}
		*p = append(*p, found)
	}
}

// mistake does not repeat a value that may be a secret.
func mistake(value, goType string) string {
	want, scalar := wanted[goType]
	switch {
	case goType == "service.Secret":
		return "want file or env: where the secret is, not the secret"
	case !scalar:
		return "want settings, each as \"name: value\""
	case value == "":
		return "want " + want
	default:
		return fmt.Sprintf("%q is not %s", value, want)
	}
}
