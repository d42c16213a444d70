package stores

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
)

// findProgram returns the path of a program: from PATH, or else from the last of
// the directories that match the patterns, which is the one with the highest
// version.
func findProgram(name, debianPackage string, patterns ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, pattern := range patterns {
		found, _ := filepath.Glob(filepath.Join(pattern, name)) // the pattern is well-formed
		slices.Sort(found)
		for _, path := range slices.Backward(found) {
			if executable, err := exec.LookPath(path); err == nil {
				return executable, nil
			}
		}
	}
	return "", fmt.Errorf(
		"no program %s: install the Debian package %s (apt-get install postgresql redis-server): %w",
		name, debianPackage, exec.ErrNotFound)
}
