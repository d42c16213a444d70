package secretfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"sessionkeeper/internal/secretfile"
)

func TestExposure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	for mode, want := range map[fs.FileMode][2]string{
		0o400: {"", ""},
		0o600: {"", ""},
		0o440: {"", ""}, // Kubernetes mounts secrets for a group
		0o644: {"can be read by all users", ""},
		0o660: {"can be changed by other users", "can be changed by other users"},
		0o602: {"can be changed by other users", "can be changed by other users"},
	} {
		require.NoError(t, os.Chmod(path, mode))
		require.Equal(t, want[0], secretfile.Exposure(path), "%o", mode)
		require.Equal(t, want[1], secretfile.TamperExposure(path), "%o", mode)
	}
	require.Empty(t, secretfile.Exposure(path+"x"))
}
