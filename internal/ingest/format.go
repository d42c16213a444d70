package ingest

import (
	"bytes"
	"encoding/json"
)

// FormatError is the error of a log that is no log of one event per line. Nothing of
// it was sent.
type FormatError struct {
	// Looks says what it looks like.
	Looks string
}

// Error implements error.
func (e *FormatError) Error() string {
	return "this looks like " + e.Looks + "; want one JSON object per line, in UTF-8"
}

// checkFormat recognizes other formats by the first line that is not blank. Each of
// their lines would be rejected.
func checkFormat(first []byte) error {
	for looks, is := range map[string]func([]byte) bool{
		"UTF-16": isUTF16, "a compressed file": isCompressed, "a JSON array": isArray, "pretty-printed JSON": isPrettyPrinted,
	} {
		if is(first) {
			return &FormatError{Looks: looks}
		}
	}
	return nil
}

// isBlank reports whether a line may be a blank line of UTF-16.
func isBlank(text []byte) bool {
	return len(text) <= 8 && len(bytes.Trim(text, "\x00 \t\r\n")) == 0
}

// isUTF16 recognizes UTF-16 by its byte order mark or, without one, by the zero byte
// beside the first character. A line feed of UTF-16 leaves a zero byte at the
// beginning of the next line, so that either order may be seen. UTF-32 looks the same.
func isUTF16(text []byte) bool {
	text = bytes.TrimLeft(text, "\x00 \t\r\n") // a line feed of UTF-16 leaves a zero byte
	return hasPrefix(text, "\xff\xfe", "\xfe\xff", "{\x00", "[\x00", "\"\x00")
}

func isCompressed(text []byte) bool {
	const gzip, zstd, zip = "\x1f\x8b", "\x28\xb5\x2f\xfd", "PK\x03\x04"
	return hasPrefix(text, gzip, zstd, zip)
}

func isArray(text []byte) bool { return hasPrefix(text, "[") && !isUTF16(text) }

// isPrettyPrinted reports whether a line is the beginning of an object that the writer
// goes on with in the next line. A line that was cut off ends elsewhere.
func isPrettyPrinted(text []byte) bool {
	return hasPrefix(text, "{") && bytes.ContainsAny(text[len(text)-1:], "{[,:") && !json.Valid(text)
}

func hasPrefix(text []byte, prefixes ...string) bool {
	for _, prefix := range prefixes {
		if bytes.HasPrefix(text, []byte(prefix)) {
			return true
		}
	}
	return false
}
