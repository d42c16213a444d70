package interaction

import (
	"encoding/json"
	"errors"
	"html"
	"net/url"
	"regexp"
	"strings"
)

const redacted = "[redacted]"

// concealed stands for a text that must not be shown, and still tells an
// absent one from a present one.
func concealed(secret string) string {
	if secret == "" {
		return ""
	}
	return redacted
}

// credentialShapes matches JSON Web Tokens and Salesforce session ids, so that
// a piece of a credential is found even where its end was cut off.
const credentialShapes = `eyJ[\w-]{8,}(?:\.[\w-]*)*|00D\w{12,15}![\w.]+` //nolint:gosec // what credentials look like, not one

// redactor removes what must not be shown from texts that others wrote.
type redactor struct{ secrets *regexp.Regexp }

// newRedactor hides the secrets in any letter case and with any escapes, and a
// phone number without its plus sign too. Empty secrets are ignored.
func newRedactor(secrets ...string) redactor {
	var patterns []string
	for _, secret := range secrets {
		if secret = unescaped(secret); secret != "" {
			patterns = append(patterns, secretPattern(secret))
		}
	}
	patterns = append(patterns, credentialShapes)
	return redactor{regexp.MustCompile("(?i)" + strings.Join(patterns, "|"))}
}

func secretPattern(secret string) string {
	words := strings.Split(secret, " ")
	for i, word := range words {
		words[i] = regexp.QuoteMeta(word)
	}
	pattern := strings.Join(words, `[\s+]+`) // URLs write a space as a plus sign
	if strings.HasPrefix(pattern, `\+`) && len(pattern) > len(`\+`) {
		pattern = `\+?` + strings.TrimPrefix(pattern, `\+`)
	}
	return pattern
}

// text returns s itself when it is harmless, else its unescaped form with the
// secrets replaced: one layer of escapes may hide in another.
func (r redactor) text(s string) string {
	if plain := unescaped(s); r.secrets.MatchString(plain) {
		return r.secrets.ReplaceAllLiteralString(plain, redacted)
	}
	return s
}

// error returns err itself when its text is harmless. Otherwise it returns an
// error with a harmless text that errors.Is and errors.As still see through.
// It cannot be unwrapped, since those who record errors print each cause.
func (r redactor) error(err error) error {
	text := r.text(err.Error())
	if text == err.Error() {
		return err
	}
	return &sealed{text, err}
}

type sealed struct {
	text string
	err  error
}

func (s *sealed) Error() string        { return s.text }
func (s *sealed) Is(target error) bool { return errors.Is(s.err, target) }
func (s *sealed) As(target any) bool   { return errors.As(s.err, target) }

// unescaped undoes the escapes of JSON, URLs and HTML, layer by layer.
func unescaped(text string) string {
	const maxLayers = 8
	text = strings.ToValidUTF8(text, "\uFFFD")
	for range maxLayers {
		plain := strings.ToValidUTF8(html.UnescapeString(escapes.ReplaceAllStringFunc(text, unescape)), "\uFFFD")
		if plain == text {
			break
		}
		text = plain
	}
	return text
}

// escapes matches runs of those that make up one character together.
var escapes = regexp.MustCompile(`(?:%[0-9A-Fa-f]{2})+|(?:\\u[0-9A-Fa-f]{4})+|\\.`)

func unescape(escape string) string {
	switch {
	case escape[0] == '%':
		plain, _ := url.PathUnescape(escape)
		return plain
	case len(escape) > len(`\u`):
		var plain string
		_ = json.Unmarshal([]byte(`"`+escape+`"`), &plain)
		return plain
	case strings.Contains("nrt", escape[1:]):
		return " "
	default:
		return escape[1:]
	}
}
