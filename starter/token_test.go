package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/access"
)

func TestTokenNewPrintsTheTokenAndItsLine(t *testing.T) {
	out, err := starter(t, nil, "token", "new", "-name", "router", "-org", "00D000000000001")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 3)
	require.Regexp(t, `^skt_[A-Za-z0-9_-]{43}$`, lines[1])
	_, err = access.ParseTokens(lines[2])
	require.NoError(t, err)
}

func TestTokenNewAppendsToAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	add := func(name string) (string, error) {
		return starter(t, nil, "token", "new", "-name", name, "-org", "all", "-append", path)
	}
	token, err := add("router")
	require.NoError(t, err)
	require.Regexp(t, `^skt_[A-Za-z0-9_-]{43}\n$`, token)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(text), strings.TrimSpace(token))
	require.NoError(t, os.WriteFile(path, []byte(strings.TrimSpace(string(text))), 0o600)) // no line break at its end
	_, err = add("operations")
	require.NoError(t, err)
	_, err = access.ReadTokens(path)
	require.NoError(t, err)

	before, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = add("router")
	require.ErrorContains(t, err, "another token has this name")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after, "the file is as it was")
}

func TestTokenNewChecksFlags(t *testing.T) {
	for want, args := range map[string][]string{
		`Required flag "name" not set`:    {"-org", "all"},
		`Required flag "org" not set`:     {"-name", "router"},
		"orgs: want 15-character ids":     {"-name", "router", "-org", "00D"},
		"unexpected argument":             {"-name", "router", "-org", "all", "x"},
		"append the token: open /no/such": {"-name", "router", "-org", "all", "-append", "/no/such/tokens.yaml"},
	} {
		_, err := starter(t, nil, append([]string{"token", "new"}, args...)...)
		require.ErrorContains(t, err, want)
	}
}
