package ingest_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/ingest"
)

// inUTF16 returns a text in UTF-16.
func inUTF16(text string, bigEndian bool) string {
	var encoded bytes.Buffer
	for _, unit := range utf16.Encode([]rune(text)) {
		if bigEndian {
			encoded.Write([]byte{byte(unit >> 8), byte(unit)})
		} else {
			encoded.Write([]byte{byte(unit), byte(unit >> 8)})
		}
	}
	return encoded.String()
}

func TestOtherFormatsStopRun(t *testing.T) {
	h := newHarness(t)
	line := message("a", 1)
	pretty := strings.NewReplacer("{", "{\n", ",", ",\n", "}", "\n}").Replace(line)
	many := strings.Repeat(line+"\n", 1000)
	for name, test := range map[string]struct{ log, looks string }{
		"UTF-16, little endian":            {inUTF16("\ufeff"+many, false), "UTF-16"},
		"UTF-16, big endian":               {inUTF16("\ufeff"+many, true), "UTF-16"},
		"UTF-16 without a byte order mark": {inUTF16(many, false), "UTF-16"},
		"UTF-16BE, blank line, no mark":    {inUTF16("\r\n"+many, true), "UTF-16"},
		"UTF-16 of an array":               {inUTF16("["+many, false), "UTF-16"},
		"an array in one line":             {"\ufeff [" + line + "," + line + "]", "a JSON array"},
		"a long array in one line":         {"[" + strings.Repeat(line+",", 10_000) + line + "]", "a JSON array"},
		"an array in many lines":           {"\n[\n" + strings.Repeat(line+",\n", 1000) + line + "\n]\n", "a JSON array"},
		"pretty-printed":                   {"\r\n" + pretty, "pretty-printed JSON"},
		"pretty-printed, CRLF":             {strings.ReplaceAll(pretty, "\n", "\r\n"), "pretty-printed JSON"},
		"pretty-printed, compact":          {strings.Replace(line, ",", ",\n", 1), "pretty-printed JSON"},
		"gzip":                             {"\x1f\x8b\x08\x00" + many, "a compressed file"},
	} {
		t.Run(name, func(t *testing.T) {
			var rejects bytes.Buffer
			err := h.run(t.Context(), strings.NewReader(test.log), ingest.Options{Rejects: &rejects})
			require.EqualError(t, err, fmt.Sprintf("this looks like %s; want one JSON object per line, in UTF-8", test.looks))
			require.Empty(t, rejects.String())
			require.Empty(t, h.reports)
			require.Empty(t, h.server.Calls())
		})
	}
}

// One bad line does not make a log another format.
func TestBadFirstLineIsRejected(t *testing.T) {
	for name, bad := range map[string]string{
		"cut off":         message("a", 1)[:100],
		"cut at the end":  message("a", 1)[1:],
		"NUL bytes":       strings.Repeat("\x00", 5000),
		"not JSON":        "# time: 9:00,",
		"empty object":    "{}",
		"two objects":     message("a", 1) + message("a", 2),
		"a carriage":      message("a", 1) + "\r" + message("a", 2),
		"a mark inside":   message("a", 1)[:10] + "\ufeff" + message("a", 1)[10:],
		"a Latin-1 name":  strings.Replace(message("a", 1), "+15550100001", "caf\xe9", 1),
		"lone surrogate":  strings.Replace(message("a", 1), "+15550100001", `\ud800`, 1),
		"the same twice":  strings.Replace(message("a", 1), `"orgId"`, `"orgId":"00D000000000002","orgId"`, 1),
		"zone of 24 hour": strings.Replace(message("a", 1), ":00Z", ":00+24:00", 1),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			var rejects bytes.Buffer
			log := bad + "\n" + message("b", 2) + "\n\ufeff" + message("c", 3) + "\r\n"
			require.NoError(t, h.run(t.Context(), strings.NewReader(log), ingest.Options{Rejects: &rejects}))
			require.Equal(t, bad+"\n", rejects.String())
			require.Equal(t, map[string][]string{"b": {"02"}, "c": {"03"}}, h.sentTimes())
			require.Len(t, h.reports, 1)
			require.NotContains(t, h.reports[0], "5550100001")
			require.NotContains(t, h.reports[0], "caf")
		})
	}
}
