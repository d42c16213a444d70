package interaction

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

var (
	errEncryptedKey = errors.New("is encrypted: want a key without a passphrase")
	errNoRSAKey     = errors.New("is not an RSA key; RS256 needs one")
	errNoPEM        = errors.New("has no PEM block with a private key")
	errBinary       = errors.New("is binary: want the key as PEM text")
)

// parsePrivateKey returns the first private key of the PEM text. The text may also
// contain a certificate. The errors say what was found instead of a key.
func parsePrivateKey(text []byte) (*rsa.PrivateKey, error) {
	if len(text) == 0 {
		return nil, errors.New("is required")
	}
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, errBinary
	}
	plain := cleanPEM(string(text))
	if !strings.Contains(plain, pemBegin) {
		return parseBase64Key(plain)
	}
	var others []string
	for block, rest := pem.Decode([]byte(plain)); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return parseKeyBlock(block)
		}
		others = append(others, block.Type)
	}
	return nil, errNotAKey(others, plain)
}

const pemBegin = "-----BEGIN "

// cleanPEM repairs what the ways of a secret do to a PEM text: a byte order mark,
// quotes around it, "\n" instead of line breaks, indented lines, and lost line breaks.
func cleanPEM(text string) string {
	text = strings.TrimSpace(strings.TrimPrefix(text, "\ufeff"))
	text = strings.Trim(text, `"' `)
	text = strings.NewReplacer(`\r\n`, "\n", `\n`, "\n", `\r`, "\n", "\r\n", "\n", "\r", "\n").Replace(text)
	text = pemBoundary.ReplaceAllString(text, "\n$0\n")
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

var pemBoundary = regexp.MustCompile(`-----(?:BEGIN|END) [A-Z0-9 ]+-----`)

// parseBase64Key accepts base64 of a PEM text, and the base64 of a PEM block without
// its boundaries.
func parseBase64Key(text string) (*rsa.PrivateKey, error) {
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	switch {
	case err != nil:
		return nil, errNoPEM
	case bytes.Contains(der, []byte(pemBegin)):
		return parsePrivateKey(der)
	}
	for _, blockType := range []string{"PRIVATE KEY", "RSA PRIVATE KEY"} {
		key, err := parseKeyBlock(&pem.Block{Type: blockType, Bytes: der})
		if err == nil || errors.Is(err, errNoRSAKey) {
			return key, err
		}
	}
	return nil, errNoPEM
}

func parseKeyBlock(block *pem.Block) (*rsa.PrivateKey, error) {
	switch block.Type {
	case "RSA PRIVATE KEY":
		if len(block.Headers) > 0 { // Proc-Type and DEK-Info
			return nil, errEncryptedKey
		}
		return orUnreadable(x509.ParsePKCS1PrivateKey(block.Bytes))
	case "PRIVATE KEY":
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		rsaKey, ok := key.(*rsa.PrivateKey)
		if err == nil && !ok {
			return nil, errNoRSAKey
		}
		return orUnreadable(rsaKey, err)
	case "ENCRYPTED PRIVATE KEY":
		return nil, errEncryptedKey
	case "OPENSSH PRIVATE KEY":
		return nil, errors.New("is in OpenSSH's format: convert it with ssh-keygen -p -m PEM")
	default:
		return nil, errNoRSAKey
	}
}

func orUnreadable(key *rsa.PrivateKey, err error) (*rsa.PrivateKey, error) {
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	return key, nil
}

// errNotAKey says what a PEM text has instead of a private key. Only types that are
// known are repeated.
func errNotAKey(types []string, text string) error {
	for _, found := range types {
		switch {
		case strings.HasSuffix(found, "CERTIFICATE"):
			return fmt.Errorf("%w, only a certificate: want the private key that belongs to it", errNoPEM)
		case strings.HasSuffix(found, "PUBLIC KEY"):
			return fmt.Errorf("%w, only a public key: want the private key that belongs to it", errNoPEM)
		}
	}
	if len(types) == 0 && strings.Contains(text, "PRIVATE KEY-----") {
		return errors.New("has a PEM block that is cut off or damaged")
	}
	return errNoPEM
}
