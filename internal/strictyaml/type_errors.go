package strictyaml

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Messages of the YAML library. They name Go types, so they are replaced.
var (
	atLine       = regexp.MustCompile(`(?s)^line (\d+): (.*)$`)
	unknownField = regexp.MustCompile(`(?s)^field (.+) not found in type .*$`)
	duplicateKey = regexp.MustCompile(`^mapping key .* already defined at line \d+$`)
	wrongType    = regexp.MustCompile("(?s)^cannot unmarshal \\S+(?: `(.*)`)? into (.*)$")
)

// fieldName is what is shown of an unknown field. Anything else may be a secret at the
// wrong place.
var fieldName = regexp.MustCompile(`^[A-Za-z]{1,40}$`)

// scalars describes scalar Go types.
var scalars = map[string]string{
	"string":        "a text",
	"int":           "a whole number",
	"float64":       "a number",
	"bool":          "true or false",
	"time.Duration": `a duration such as "10s"`,
}

// isIncomplete reports whether the YAML library skipped settings without reading
// them. It does so if a key occurs twice.
func (d *Document) isIncomplete() bool {
	return slices.ContainsFunc(d.problems, func(found problem) bool { return duplicateKey.MatchString(found.text) })
}

// addTypeErrors adds the values that the YAML library could not decode.
func (d *Document) addTypeErrors(err *yaml.TypeError, types map[string]string) {
	for _, message := range err.Errors {
		found := problem{text: message}
		if parts := atLine.FindStringSubmatch(message); parts != nil {
			_, _ = fmt.Sscan(parts[1], &found.line)
			found.text = parts[2]
		}
		if parts := unknownField.FindStringSubmatch(found.text); parts != nil {
			found.text = "unknown field"
			if fieldName.MatchString(parts[1]) {
				found.text += " " + parts[1]
			}
		} else if parts := wrongType.FindStringSubmatch(found.text); parts != nil {
			found.text, found.unreadable = describeWrongType(parts[1], parts[2], types), true
		}
		d.problems = append(d.problems, found)
	}
}

func describeWrongType(value, goType string, types map[string]string) string {
	scalar, isScalar := scalars[goType]
	switch {
	case !isScalar:
		return cmp.Or(types[goType], `want settings, each as "name: value"`)
	case value == "":
		return "want " + scalar
	default:
		return fmt.Sprintf("%q is not %s", value, scalar)
	}
}
