package program_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"sessionkeeper/local/program"
)

func TestMissingProgramErrorNamesThePackage(t *testing.T) {
	_, err := program.Find("no-such-server", "some-package", t.TempDir())
	require.ErrorIs(t, err, exec.ErrNotFound)
	require.ErrorContains(t, err, "no program no-such-server: install the Debian package some-package")
}

func TestFindProgramTakesTheHighestVersion(t *testing.T) {
	root := t.TempDir()
	for _, version := range []string{"13", "16", "15"} {
		require.NoError(t, os.MkdirAll(root+"/"+version+"/bin", 0o750))
		require.NoError(t, os.WriteFile(root+"/"+version+"/bin/no-such-server", []byte("#!/bin/sh\n"), 0o700))
	}
	found, err := program.Find("no-such-server", "some-package", root+"/*/bin")
	require.NoError(t, err)
	require.Equal(t, root+"/16/bin/no-such-server", found)
}
