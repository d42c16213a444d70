package receiver

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

// shortestToken is in characters.
const shortestToken = 16

// rereadAfter is how often the file of tokens is looked at. A file that is mounted
// into a container changes without a signal.
const rereadAfter = 5 * time.Second

// maxTokensFile bounds what is read of a file that was named by mistake.
const maxTokensFile = 1 << 20

// tokenForm is RFC 6750's b64token.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9\-._~+/]+=*$`)

// Tokens are the bearer tokens that open the door: any of several, so that they
// can be changed without an interruption. Only their hashes are kept.
type Tokens struct {
	path   string
	hashes atomic.Pointer[[]hash]
	// read is the hash of the file's text, or the error in its place, when it was
	// last looked at.
	read string
	// every is how often the file is looked at.
	every time.Duration
}

type hash [sha256.Size]byte

// ReadTokens reads a file with one token a line, of at least 16 characters. Blank
// lines and those that begin with # do not count. While the door is open the file
// is read again every five seconds; one that is wrong leaves the tokens as they
// are.
func ReadTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path, every: rereadAfter}
	if _, err := t.reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// ParseTokens reads tokens that are separated by white space or commas.
func ParseTokens(text string) (*Tokens, error) {
	hashes, err := hashesOf(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n,", r) }))
	if err != nil {
		return nil, err
	}
	t := &Tokens{}
	t.hashes.Store(&hashes)
	return t, nil
}

// hashesOf checks tokens. Its errors name a token by its place, never by itself.
func hashesOf(lines []string) ([]hash, error) {
	var hashes []hash
	for i, line := range lines {
		token := strings.TrimSpace(line)
		switch {
		case token == "" || strings.HasPrefix(token, "#"):
			continue
		case len(token) < shortestToken:
			return nil, fmt.Errorf("token %d: want at least %d characters", i+1, shortestToken)
		case !tokenForm.MatchString(token):
			return nil, fmt.Errorf("token %d: want letters, digits and -._~+/ only", i+1)
		}
		hashes = append(hashes, sha256.Sum256([]byte(token)))
	}
	if len(hashes) == 0 {
		return nil, errors.New("want at least one token")
	}
	return hashes, nil
}

// accept reports whether a request's Authorization headers are one good token.
// It takes the same time whichever it is.
func (t *Tokens) accept(authorization []string) bool {
	if len(authorization) != 1 {
		return false
	}
	scheme, token, _ := strings.Cut(authorization[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	given := sha256.Sum256([]byte(strings.TrimSpace(token)))
	found := 0
	for _, known := range *t.hashes.Load() {
		found |= subtle.ConstantTimeCompare(given[:], known[:])
	}
	return found == 1
}

// follow reads the file again and again, until ctx ends or it is stopped.
func (t *Tokens) follow(ctx context.Context, logger *slog.Logger) (stop context.CancelFunc) {
	ctx, stop = context.WithCancel(ctx)
	if t != nil && t.path != "" {
		go t.reread(ctx, logger)
	}
	return stop
}

func (t *Tokens) reread(ctx context.Context, logger *slog.Logger) {
	ticker := time.NewTicker(t.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		switch changed, err := t.reload(); {
		case !changed:
		case err != nil:
			logger.Error("Tokens stay as they are", "error", err)
		default:
			logger.Info("Tokens were read again", "tokens", len(*t.hashes.Load()))
		}
	}
}

// reload reads the file, and tells whether it says anything new.
func (t *Tokens) reload() (changed bool, err error) {
	text, err := t.text()
	seen := fmt.Sprintf("%x %v", sha256.Sum256(text), err)
	if seen == t.read {
		return false, nil
	}
	t.read = seen
	if err != nil {
		return true, err
	}
	hashes, err := hashesOf(strings.Split(string(text), "\n"))
	if err != nil {
		return true, fmt.Errorf("tokens in %s: %w", t.path, err)
	}
	t.hashes.Store(&hashes)
	return true, nil
}

func (t *Tokens) text() ([]byte, error) {
	file, err := os.Open(t.path)
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxTokensFile+1))
	if err == nil && len(text) > maxTokensFile {
		err = errors.New("larger than 1 MiB: is it the right one?")
	}
	if err != nil {
		return nil, fmt.Errorf("read tokens from %s: %w", t.path, err)
	}
	return text, nil
}
