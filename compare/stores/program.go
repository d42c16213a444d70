package stores

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
)

// program is the path of a server's program: in PATH, or else in the highest of
// the places that match.
func program(name, debianPackage string, places ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, pattern := range places {
		found, _ := filepath.Glob(filepath.Join(pattern, name)) // the pattern is well-formed
		slices.Sort(found)
		for _, path := range slices.Backward(found) {
			if executable, err := exec.LookPath(path); err == nil {
				return executable, nil
			}
		}
	}
	return "", fmt.Errorf("there is no program %s: install the Debian package %s (apt-get install postgresql redis-server): %w",
		name, debianPackage, exec.ErrNotFound)
}
