// Package program finds programs that a test or a measurement needs.
package program

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
)

// Find returns the path of a program: from PATH, or else from the last of
// the directories that match the patterns, which is the one with the highest
// version. The error names the Debian package that has it.
func Find(name, debianPackage string, patterns ...string) (string, error) {
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
		"no program %s: install the Debian package %s (apt-get install %s): %w",
		name, debianPackage, debianPackage, exec.ErrNotFound)
}
