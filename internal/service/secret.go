package service

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"sessionkeeper/internal/secretfile"
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

// source names the place of the secret, for errors about what it contains.
func (s Secret) source() string {
	if s.Env != "" {
		return "environment variable " + s.Env
	}
	return "file " + s.File
}

// check checks where the secret is, and does not read it.
func (s Secret) check() error {
	switch {
	case s.File == "" && s.Env == "":
		return errors.New("want file or env: where the secret is")
	case s.File != "" && s.Env != "":
		return errors.New("want either file or env, not both")
	case s.Env != "" && !variableName.MatchString(s.Env):
		return errors.New("env: want the name of an environment variable")
	case strings.ContainsAny(s.File, "\r\n") || strings.Contains(s.File, "-----BEGIN"):
		return errors.New("file: want the file's path, not what is in it")
	}
	return nil
}

// read returns the secret without a byte order mark, and without white space and
// quotes around it. An operator may write the secret itself into File or Env by
// mistake, so the errors do not repeat a value that looks like a secret.
func (s Secret) read() (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	if s.Env != "" {
		return readVariable(s.Env)
	}
	return readSecretFile(s.File)
}

func readVariable(name string) (string, error) {
	value := trim(os.Getenv(name))
	if value == "" {
		return "", fmt.Errorf("environment variable %s is not set", name)
	}
	return value, nil
}

func readSecretFile(path string) (string, error) {
	text, err := secretfile.Read(path)
	if err != nil {
		return "", err
	}
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return "", fmt.Errorf("file %s is UTF-16: save it as UTF-8", path)
	}
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return "", fmt.Errorf("file %s is binary: want text", path)
	}
	secret := trim(string(text))
	if secret == "" {
		return "", fmt.Errorf("file %s is empty", path)
	}
	return secret, nil
}

// trim removes what editors and shells add around a secret.
func trim(text string) string {
	text = strings.TrimSpace(strings.TrimPrefix(text, "\ufeff"))
	for _, quote := range []string{`"`, "'"} {
		if inner, ok := strings.CutPrefix(text, quote); ok && strings.HasSuffix(inner, quote) {
			return strings.TrimSpace(strings.TrimSuffix(inner, quote))
		}
	}
	return text
}
