package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A list of conversations is read as a whole before anything is deleted, and an error says
// where it is wrong.
func TestEraseRefusesAWrongList(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ids.txt")
	for name, test := range map[string]struct {
		args  []string
		lines string
		want  string
	}{
		"nothing":        {nil, "", "want <orgId>:<conversationIdentifier>, or -file"},
		"argument":       {[]string{"00D000000000001:a", "00D:b"}, "", "argument 2: workflow id: "},
		"line":           {nil, "00D000000000001:a\r\n\nno id\n", "-file: line 3: workflow id: "},
		"blanks":         {nil, "00D000000000001:a \n", "-file: line 1: there are blanks around the id"},
		"unknown choice": {[]string{"-running", "kill", "00D000000000001:a"}, "", "-running: want refuse, close or terminate"},
	} {
		require.NoError(t, os.WriteFile(file, []byte(test.lines), 0o600))
		args := append([]string{"erase"}, test.args...)
		if test.lines != "" {
			args = append([]string{"erase", "-file", file}, test.args...)
		}
		_, err := starter(t, nil, args...)
		require.ErrorContains(t, err, test.want, name)
	}
}
