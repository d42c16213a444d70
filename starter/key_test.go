package main

import (
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKeysAreMadeAndRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	run := func(args ...string) string {
		out, err := starter(t, nil, append([]string{"key"}, args...)...)
		require.NoError(t, err)
		return out
	}
	ids := func() []string { return regexp.MustCompile(`\d+`).FindAllString(run("list", path), -1) }
	require.Regexp(t, `^`+path+` has key \d+, which encrypts\n$`, run("new", path))
	require.Contains(t, run("add", path), "run: starter key promote "+path)
	require.Len(t, ids(), 2)
	require.Equal(t, "key "+ids()[1]+" promoted\n", run("promote", path, ids()[1]))
	require.Equal(t, ids()[0]+" decrypts\n"+ids()[1]+" encrypts and decrypts\n", run("list", path))
	require.Equal(t, "key "+ids()[0]+" removed\n", run("remove", path, ids()[0]))
	require.Len(t, ids(), 1)
}

func TestKeyCommandsCheckArguments(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	_, err := starter(t, nil, "key", "new", path)
	require.NoError(t, err)
	for want, args := range map[string][]string{
		"want one argument: the file of the keys": {"new"},
		"file exists":  {"new", path},
		"no such file": {"list", path + "x"},
		"want two arguments: the file of the keys, and the id of a key": {"promote", path},
		"want the id of a key: see starter key list":                    {"promote", path, "-1"},
		"key with id 1 not found":                                       {"remove", path, "1"},
	} {
		_, err := starter(t, nil, append([]string{"key"}, args...)...)
		require.ErrorContains(t, err, want)
	}
}

func TestCodecChecksFlags(t *testing.T) {
	t.Setenv("SESSIONKEEPER_KEYS_FILE", "")
	t.Setenv("SESSIONKEEPER_KEYS", "")
	for want, args := range map[string][]string{
		`Required flag "tokens" not set`:               {},
		"want keys: SESSIONKEEPER_KEYS_FILE or":        {"-tokens", "none"},
		"-origin: number 1: want a scheme and a host":  {"-tokens", "none", "-origin", "temporal.example.com"},
		"-origin: number 2: want a scheme and a host":  {"-tokens", "none", "-origin", "https://a,https://a/b"},
		"unexpected argument; see starter codec -help": {"-tokens", "none", "x"},
	} {
		_, err := starter(t, nil, append([]string{"codec"}, args...)...)
		require.ErrorContains(t, err, want)
	}
	t.Setenv("SESSIONKEEPER_KEYS", "not keys")
	_, err := starter(t, nil, "codec", "-tokens", "none")
	require.EqualError(t, err, `SESSIONKEEPER_KEYS: want a keyset of Tink as JSON; "starter key new" makes one`)
}
