// Package markdown shows text from elsewhere in the Markdown of Temporal's Web UI.
package markdown

import (
	"strings"
	"unicode"
)

// maxRunes is how much of a text is shown, in characters.
const maxRunes = 1000

// Code returns a text as a code span: nothing in it is a link, a format or HTML. It is
// one line, and has at most 1,000 characters. An empty text stays empty.
func Code(text string) string {
	runes := []rune(strings.Join(strings.FieldsFunc(text, isBreak), " "))
	if len(runes) > maxRunes {
		runes = append(runes[:maxRunes], '…')
	}
	if len(runes) == 0 {
		return ""
	}
	return "`" + strings.ReplaceAll(string(runes), "`", "'") + "`"
}

// isBreak reports whether a character ends a line, is not visible, or changes the
// direction of the text that follows.
func isBreak(r rune) bool { return !unicode.IsGraphic(r) }
