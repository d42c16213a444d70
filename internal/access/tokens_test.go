package access

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tokenLine is the line of a token in a file.
func tokenLine(name, token, orgs string) string {
	return fmt.Sprintf("- {name: %s, orgs: [%s], sha256: \"%x\"}\n", name, orgs, sha256.Sum256([]byte(token)))
}

func writeTokens(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// A file that is written in place is read while it is half written.
func TestChangeCountsWhenItWasReadTwice(t *testing.T) {
	path := writeTokens(t, tokenLine("router", "secret", "all"))
	tokens, err := ReadTokens(path)
	require.NoError(t, err)
	reload := func() bool { return tokens.reload(slog.New(slog.DiscardHandler)) }
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.False(t, reload())
	require.NoError(t, os.WriteFile(path, []byte(tokenLine("router", "secret", "all")), 0o600))
	require.False(t, reload(), "the file is as it was")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.False(t, reload())
	require.True(t, reload())
	require.False(t, reload())
}

func TestInvalidTokenFiles(t *testing.T) {
	const secret = "Secret0123456789abcdef"
	good := tokenLine("router", secret, "00D000000000001")
	for text, want := range map[string]string{
		secret:                                   `line 1: want a list of tokens; "starter token new" makes one`,
		secret + "\n" + secret:                   `line 1: want a list of tokens`,
		"- " + secret:                            `line 1: want a list of tokens`,
		secret + ": x\n":                         `line 1: want a list of tokens`,
		"- {" + secret + ": all}\n":              "line 1: unknown field",
		good + good:                              "line 2: [1].name: another token has this name",
		good + "- {}\n":                          "line 2: [1].name: want at most 64 letters",
		good + "-\n":                             "line 2: [1]: want a list of tokens",
		tokenLine("a b", secret, "all"):          "line 1: [0].name: want at most 64 letters",
		good + tokenLine("other", secret, "all"): "line 2: [1].sha256: is the same as that of another token",
		tokenLine("a", secret, ""):               "line 1: [0].orgs: want the ids of orgs, or [all]",
		tokenLine("a", secret, "00D000000000001AAA"):                        "line 1: [0].orgs: want 15-character ids",
		tokenLine("a", secret, "00D000000000001, all"):                      "line 1: [0].orgs: want either ids of orgs or all",
		"- {name: a, orgs: all, sha256: x}\n":                               "line 1: want a list, such as [00D000000000001] or [all]",
		"- {name: a, orgs: [all], sha256: " + secret + "}\n":                "line 1: [0].sha256: want the SHA-256 of a token",
		"- {name: a, orgs: [all], token: x, sha256: x}\n":                   "line 1: unknown field token",
		"- {name: a, orgs: [all], quota: {requests: -1}, sha256: \"00\"}\n": "line 1: [0].quota: must not be negative",
		"- {name: a, orgs: [all], quota: {requests: many}}\n":               `line 1: "many" is not a whole number`,
		"- name: [\n": "not valid YAML",
	} {
		_, err := ReadTokens(writeTokens(t, text))
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), secret[:5])
	}
	for _, text := range []string{"", "# nothing\n", "[]", good + tokenLine("b", "other", "all")} {
		_, err := ReadTokens(writeTokens(t, text))
		require.NoError(t, err, text)
	}
	_, err := ReadTokens(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = ReadTokens(writeTokens(t, strings.Repeat("# a comment\n", 1<<17)))
	require.ErrorContains(t, err, "larger than 1 MiB")
}
