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

// problem is one mistake in a configuration.
type problem struct {
	line int
	text string
	// unreadable: the value on this line has the wrong type. Then the rules for
	// the value are not checked.
	unreadable bool
}

type problems []problem

// err returns all problems in one error, one per line, or nil.
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

func (p *problems) unreadable(line int) bool {
	return slices.ContainsFunc(*p, func(found problem) bool { return found.unreadable && found.line == line })
}

// incomplete reports whether the YAML library skipped settings without reading
// them. It does so if a key occurs twice.
func (p *problems) incomplete() bool {
	return slices.ContainsFunc(*p, func(found problem) bool { return duplicateKey.MatchString(found.text) })
}

// Messages of the YAML library. They name Go types, so they are replaced.
var (
	atLine       = regexp.MustCompile(`(?s)^line (\d+): (.*)$`)
	unknownField = regexp.MustCompile(`^field (.+) not found in type .*$`)
	duplicateKey = regexp.MustCompile(`^mapping key .* already defined at line \d+$`)
	wrongType    = regexp.MustCompile("(?s)^cannot unmarshal \\S+(?: `(.*)`)? into (.*)$")
)

// typeNames describes Go types to an operator.
var typeNames = map[string]string{
	"string":        "a text",
	"int":           "a whole number",
	"float64":       "a number",
	"bool":          "true or false",
	"time.Duration": `a duration such as "10s"`,
	"[]service.Org": "a list of orgs",
}

// typeErrors adds the values that the YAML library could not decode.
func (p *problems) typeErrors(err *yaml.TypeError) {
	for _, message := range err.Errors {
		found := problem{text: message}
		if parts := atLine.FindStringSubmatch(message); parts != nil {
			_, _ = fmt.Sscan(parts[1], &found.line)
			found.text = parts[2]
		}
		if parts := unknownField.FindStringSubmatch(found.text); parts != nil {
			found.text = "unknown field " + parts[1]
		} else if parts := wrongType.FindStringSubmatch(found.text); parts != nil {
			found.text, found.unreadable = describeWrongType(parts[1], parts[2]), true
		}
		*p = append(*p, found)
	}
}

// describeWrongType does not repeat a value that may be a secret.
func describeWrongType(value, goType string) string {
	want, scalar := typeNames[goType]
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
