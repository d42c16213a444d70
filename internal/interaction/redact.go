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

// mask replaces a secret. An absent secret stays empty, so that a log shows it.
func mask(secret string) string {
	if secret == "" {
		return ""
	}
	return redacted
}

// credentialPatterns matches JSON Web Tokens and Salesforce session ids. So a
// credential is found even if its end was cut off.
const credentialPatterns = `eyJ[\w-]{8,}(?:\.[\w-]*)*|00D\w{12,15}![\w.]+` //nolint:gosec // a pattern, not a credential

// redactor removes secrets from texts of a server or a library.
type redactor struct{ secrets *regexp.Regexp }

// newRedactor finds the secrets in upper and lower case and in escaped form. It
// finds a phone number also without its plus sign. Empty secrets are ignored.
func newRedactor(secrets ...string) redactor {
	var patterns []string
	for _, secret := range secrets {
		for _, form := range []string{strings.ToValidUTF8(secret, "\uFFFD"), unescapeAll(secret)} {
			if form != "" {
				patterns = append(patterns, secretPattern(form))
			}
		}
	}
	patterns = append(patterns, credentialPatterns)
	return redactor{regexp.MustCompile("(?i)" + strings.Join(patterns, "|"))}
}

func secretPattern(secret string) string {
	words := strings.Split(secret, " ")
	for i, word := range words {
		words[i] = regexp.QuoteMeta(word)
	}
	pattern := strings.Join(words, `[\s+]+`) // in a URL, a plus sign may be a space
	if strings.HasPrefix(pattern, `\+`) && len(pattern) > len(`\+`) {
		pattern = `\+?` + strings.TrimPrefix(pattern, `\+`)
	}
	return pattern
}

// text returns s in one line, with each secret replaced. If there is an escaped secret,
// the text is unescaped first: such a secret cannot be replaced where it is. The line
// is made before the search, because a control character may hide a secret.
func (r redactor) text(s string) string {
	line := r.secrets.ReplaceAllLiteralString(oneLine(s), redacted)
	if plain := oneLine(unescapeAll(line)); r.secrets.MatchString(plain) {
		return r.secrets.ReplaceAllLiteralString(plain, redacted)
	}
	return line
}

// error returns err if its text contains no secret. Else it returns an error with a
// redacted text, which errors.Is and errors.As compare with err.
func (r redactor) error(err error) error {
	text := r.text(err.Error())
	if text == err.Error() {
		return err
	}
	return &redactedError{text, err}
}

// redactedError has no Unwrap: loggers and Temporal's failure converter would print
// the unredacted cause.
type redactedError struct {
	text string
	err  error
}

func (e *redactedError) Error() string        { return e.text }
func (e *redactedError) Is(target error) bool { return errors.Is(e.err, target) }
func (e *redactedError) As(target any) bool   { return errors.As(e.err, target) }

// unescapeAll removes the escapes of JSON, URLs and HTML. It repeats this for texts
// that were escaped several times.
func unescapeAll(text string) string {
	const maxRepeats = 8
	text = strings.ToValidUTF8(text, "\uFFFD")
	for range maxRepeats {
		plain := strings.ToValidUTF8(html.UnescapeString(escapes.ReplaceAllStringFunc(text, unescape)), "\uFFFD")
		if plain == text {
			break
		}
		text = plain
	}
	return text
}

// escapes matches an escape. Several escapes in a row may encode one character, so
// they match together.
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
