package receiver

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// minTokenLength is in characters.
	minTokenLength = 16
	// maxTokenFile bounds what is read from a file that was given by mistake.
	maxTokenFile = 1 << 20
	// pollInterval is how often files that may be replaced are read again: a file
	// that is mounted into a container changes without a signal.
	pollInterval = 5 * time.Second
)

// tokenSyntax is the syntax b64token of RFC 6750.
var tokenSyntax = regexp.MustCompile(`^[A-Za-z0-9\-._~+/]+=*$`)

// Tokens are the accepted bearer tokens. There may be several, so that a token can
// be replaced without an interruption. Only their hashes are kept.
type Tokens struct {
	path   string
	hashes atomic.Pointer[[]hash]
	// loaded is the hash of the file when it was last read, or the error of reading
	// it.
	loaded   string
	interval time.Duration
}

type hash [sha256.Size]byte

// ReadTokens reads a file with one token per line, of at least 16 characters. Blank
// lines and lines that begin with # are ignored. [Tokens.Watch] reads the file
// again every five seconds.
func ReadTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path, interval: pollInterval}
	if _, err := t.reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// ParseTokens reads tokens that are separated by white space or commas.
func ParseTokens(text string) (*Tokens, error) {
	hashes, err := hashTokens(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n,", r) }))
	if err != nil {
		return nil, err
	}
	t := &Tokens{}
	t.hashes.Store(&hashes)
	return t, nil
}

// hashTokens validates and hashes tokens. Its errors name a token by its number,
// never by its text.
func hashTokens(lines []string) ([]hash, error) {
	var hashes []hash
	for i, line := range lines {
		token := strings.TrimSpace(line)
		switch {
		case token == "" || strings.HasPrefix(token, "#"):
			continue
		case len(token) < minTokenLength:
			return nil, fmt.Errorf("token %d: want at least %d characters", i+1, minTokenLength)
		case !tokenSyntax.MatchString(token):
			return nil, fmt.Errorf("token %d: want letters, digits and -._~+/ only", i+1)
		}
		hashes = append(hashes, sha256.Sum256([]byte(token)))
	}
	if len(hashes) == 0 {
		return nil, errors.New("want at least one token")
	}
	return hashes, nil
}

// requireToken rejects requests without an accepted token.
func (s *server) requireToken(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if s.tokens != nil && !s.tokens.accept(r.Header.Values("Authorization")) {
			return newProblem(http.StatusUnauthorized, "want the header Authorization: Bearer <token>").
				withHeader("WWW-Authenticate", `Bearer realm="sessionkeeper"`)
		}
		return next(w, r)
	}
}

// accept reports whether a request's Authorization headers are exactly one accepted
// token. The comparison takes the same time for every token.
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

// Watch reads the file again every five seconds until ctx ends. While the file is
// invalid, the tokens stay as they are. Tokens that come from no file, and nil, are
// not watched.
func (t *Tokens) Watch(ctx context.Context, logger *slog.Logger) {
	if t != nil && t.path != "" {
		go t.poll(ctx, logger)
	}
}

func (t *Tokens) poll(ctx context.Context, logger *slog.Logger) {
	ticker := time.NewTicker(t.interval)
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
			logger.Error("The tokens were not replaced", "error", err)
		default:
			logger.Info("The tokens were replaced", "tokens", len(*t.hashes.Load()))
		}
	}
}

// reload reads the file and reports whether it has changed.
func (t *Tokens) reload() (changed bool, err error) {
	text, err := readTokenFile(t.path)
	loaded := fmt.Sprintf("%x %v", sha256.Sum256(text), err)
	if loaded == t.loaded {
		return false, nil
	}
	t.loaded = loaded
	if err != nil {
		return true, err
	}
	hashes, err := hashTokens(strings.Split(string(text), "\n"))
	if err != nil {
		return true, fmt.Errorf("tokens in %s: %w", t.path, err)
	}
	t.hashes.Store(&hashes)
	return true, nil
}

func readTokenFile(path string) ([]byte, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxTokenFile+1))
	if err == nil && len(text) > maxTokenFile {
		err = errors.New("larger than 1 MiB: is this the right file?")
	}
	if err != nil {
		return nil, fmt.Errorf("read tokens from %s: %w", path, err)
	}
	return text, nil
}
