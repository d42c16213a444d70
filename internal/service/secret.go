package service

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// Secret says where a secret is: never in the configuration file.
type Secret struct {
	File string `yaml:"file"`
	Env  string `yaml:"env"`
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// read returns the secret without white space around it. Its errors show
// nothing of a secret that stands where its place should be named.
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

// maxFile bounds what is read of a file that was named by mistake.
const maxFile = 1 << 20

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("file %s is larger than 1 MiB: is it the right one?", path)
	}
	return text, nil
}
