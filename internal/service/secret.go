package service

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// Secret says where a secret is. The secret itself is never in the configuration
// file. One of File and Env is required.
type Secret struct {
	// File is the path of a file.
	File string `yaml:"file"`
	// Env is the name of an environment variable.
	Env string `yaml:"env"`
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// read returns the secret without white space at both ends. An operator may write
// the secret itself into File or Env by mistake, so the errors do not repeat a
// value that looks like a secret.
func (s Secret) read() (string, error) {
	switch {
	case s.File == "" && s.Env == "":
		return "", errors.New("want file or env: where the secret is")
	case s.File != "" && s.Env != "":
		return "", errors.New("want either file or env, not both")
	case s.Env != "":
		return readVariable(s.Env)
	case strings.ContainsAny(s.File, "\r\n") || strings.Contains(s.File, "-----BEGIN"):
		return "", errors.New("file: want the file's path, not what is in it")
	default:
		return readSecretFile(s.File)
	}
}

func readVariable(name string) (string, error) {
	if !variableName.MatchString(name) {
		return "", errors.New("env: want the name of an environment variable")
	}
	value := strings.TrimSpace(os.Getenv(name))
	if value == "" {
		return "", fmt.Errorf("environment variable %s is not set", name)
	}
	return value, nil
}

func readSecretFile(path string) (string, error) {
	text, err := readFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", fmt.Errorf("file %s is empty", path)
	}
	return secret, nil
}

// maxFile limits how much is read if the path names a wrong, huge file.
const maxFile = 1 << 20

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the operator chooses the file
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("file %s is larger than 1 MiB: is it the right one?", path)
	}
	return text, nil
}
