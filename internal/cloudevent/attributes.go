package cloudevent

import (
	"fmt"
	"mime"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"sessionkeeper/conversation"
)

// MaxAttribute is the longest value of an attribute, in characters. A longer one is
// an error.
const MaxAttribute = 1024

// specVersion is the version of CloudEvents that is read.
const specVersion = "1.0"

// defined are the attributes that CloudEvents or this package defines.
var defined = map[string]bool{
	"specversion": true, "id": true, "source": true, "type": true, "time": true, "subject": true,
	"datacontenttype": true, "dataschema": true, OrgExtension: true,
}

var types = []string{TypeStarted, TypeMessage, TypeClosed, TypeSessionStatus}

// extensionName is what CloudEvents allows as the name of an attribute, and upper
// case, which some of its libraries write.
var extensionName = regexp.MustCompile(`^[a-zA-Z0-9]{1,100}$`)

// readAttributes returns an event without its data.
func readAttributes(attributes map[string]string) (Event, error) {
	var p problems
	for name, value := range attributes {
		if problem := valueProblem(name, value); problem != "" {
			p.add(name, "%s", problem)
		}
	}
	if version := attributes["specversion"]; version != specVersion {
		p.add("specversion", "must be %q", specVersion)
	}
	for _, name := range []string{"id", "source", "type"} {
		if strings.TrimSpace(attributes[name]) == "" {
			p.add(name, "is missing")
		}
	}
	if _, err := url.Parse(attributes["source"]); err != nil {
		p.add("source", "must be a URI reference")
	}
	e := Event{ID: attributes["id"], Source: attributes["source"], Type: attributes["type"]}
	if e.Type != "" && !slices.Contains(types, e.Type) {
		p.add("type", "must be %s or %s", strings.Join(types[:len(types)-1], ", "), types[len(types)-1])
	}
	if text, ok := attributes["time"]; ok {
		var err error
		if e.At, err = conversation.ParseTime(text); err != nil {
			p.add("time", "%v", err)
		}
	}
	if mediaType, ok := attributes["datacontenttype"]; ok && !IsJSON(mediaType) {
		p.add("datacontenttype", "must be application/json, text/json or a type that ends in +json, in UTF-8")
	}
	return e, p.err()
}

// valueProblem says what is wrong with the form of an attribute, empty if nothing.
func valueProblem(name, value string) string {
	switch {
	case !defined[name] && !extensionName.MatchString(name):
		return "has a name with other characters than letters and digits, or with more than 100"
	case utf8.RuneCountInString(value) > MaxAttribute:
		return fmt.Sprintf("has more than %d characters", MaxAttribute)
	case strings.ContainsFunc(value, unicode.IsControl):
		return "contains control characters"
	default:
		return ""
	}
}

// IsJSON reports whether a Content-Type is that of JSON in UTF-8: application/json,
// text/json, or a type that ends in +json, except those of CloudEvents themselves.
func IsJSON(contentType string) bool {
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || !IsUTF8(parameters["charset"]) || strings.HasPrefix(mediaType, "application/cloudevents") {
		return false
	}
	return mediaType == "application/json" || mediaType == "text/json" || strings.HasSuffix(mediaType, "+json")
}

// IsUTF8 reports whether a charset is UTF-8. JSON without a charset is UTF-8.
func IsUTF8(charset string) bool {
	return charset == "" || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}
