package secretfile

import (
	"fmt"
	"io"
	"os"
)

// MaxSize is the largest file that is read, in bytes.
const MaxSize = 1 << 20

// Read reads a file of at most [MaxSize]. The limit is for a wrong, huge file that was
// named by mistake.
func Read(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxSize {
		return nil, fmt.Errorf("file %s is larger than 1 MiB: is it the right one?", path)
	}
	return text, nil
}
