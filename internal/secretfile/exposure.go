// Package secretfile looks at who may read or change the files that programs trust.
package secretfile

import (
	"io/fs"
	"os"
)

const (
	readByOthers  fs.FileMode = 0o004
	writeByOthers fs.FileMode = 0o022
)

// Exposure returns what other users of this machine may do with a file that contains a
// secret, such as "can be read by all users"; empty if nothing. A file that cannot be
// looked at is not exposed: reading it fails.
func Exposure(path string) string { return exposure(path, readByOthers) }

// TamperExposure returns what [Exposure] returns, for a file that contains no secret but
// decides on rights.
func TamperExposure(path string) string { return exposure(path, 0) }

func exposure(path string, read fs.FileMode) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return ""
	case info.Mode()&writeByOthers != 0:
		return "can be changed by other users"
	case info.Mode()&read != 0:
		return "can be read by all users"
	default:
		return ""
	}
}
