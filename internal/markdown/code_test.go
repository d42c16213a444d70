package markdown_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/markdown"
)

func TestCode(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"\n\t":                            "",
		"6f1c2a9e":                        "`6f1c2a9e`",
		"[a](http://x) <b> **c** ![d](e)": "`[a](http://x) <b> **c** ![d](e)`",
		"`]( ``<script>``":                "`']( ''<script>''`",
		"a\r\n\n# b":                      "`a # b`",
		"a\u202eb\u200bc\x00d":            "`a b c d`",
		"ü 日本":                            "`ü 日本`",
		"\xff":                            "`\ufffd`",
		strings.Repeat("é", 1001):         "`" + strings.Repeat("é", 1000) + "…`",
	} {
		require.Equal(t, want, markdown.Code(text))
	}
}
