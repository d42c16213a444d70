package receiver

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/cloudevent"
)

// headerPrefix is the prefix of the headers that are attributes, in binary mode.
const headerPrefix = "Ce-"

// decodeBinary reads an event whose attributes are headers.
func decodeBinary(h http.Header, body []byte) (cloudevent.Event, error) {
	attributes := map[string]string{}
	var wrong []conversation.FieldError
	for header, values := range h {
		name, ok := strings.CutPrefix(header, headerPrefix)
		if !ok {
			continue
		}
		name = strings.ToLower(name)
		value, err := attributeValue(name, values)
		if err != nil {
			wrong = append(wrong, cloudevent.AttributeError(name, err.Error()))
		}
		attributes[name] = value
	}
	if len(wrong) > 0 {
		slices.SortFunc(wrong, func(a, b conversation.FieldError) int { return strings.Compare(a.Field, b.Field) })
		return cloudevent.Event{}, &conversation.InvalidError{Fields: slices.Compact(wrong)}
	}
	return cloudevent.FromAttributes(attributes, body)
}

func attributeValue(name string, values []string) (string, error) {
	switch {
	case name == "datacontenttype":
		return "", errors.New("is the header Content-Type in binary mode")
	case name == "data":
		return "", errors.New("is the body in binary mode")
	case len(values) != 1:
		return "", errors.New("has more than one header")
	default:
		return decodeHeader(values[0])
	}
}

var (
	errHeaderUTF8   = errors.New("is not valid UTF-8; percent-encode characters other than ASCII")
	errHeaderQuotes = errors.New("has a double quote that is not percent-encoded")
	errHeaderEscape = errors.New("is not percent-encoded UTF-8")
)

// decodeHeader decodes a header as CloudEvents' HTTP binding says in section
// 3.1.3.2: quotes first, which older versions of it wrote, then percent-encoding. It
// also takes UTF-8 that is not encoded, which the Go library of CloudEvents writes.
func decodeHeader(value string) (string, error) {
	if !utf8.ValidString(value) {
		return "", errHeaderUTF8
	}
	if strings.Contains(value, `"`) {
		var ok bool
		if value, ok = unquote(value); !ok {
			return "", errHeaderQuotes
		}
	}
	decoded, err := url.PathUnescape(value)
	if err != nil || !utf8.ValidString(decoded) {
		return "", errHeaderEscape
	}
	return decoded, nil
}

// unquote reads a quoted string of RFC 7230. It must be the whole value.
func unquote(value string) (string, bool) {
	var text strings.Builder
	for i := 1; i < len(value) && value[0] == '"'; i++ {
		switch value[i] {
		case '"':
			return text.String(), i == len(value)-1
		case '\\':
			i++
		}
		if i < len(value) {
			text.WriteByte(value[i])
		}
	}
	return "", false
}
