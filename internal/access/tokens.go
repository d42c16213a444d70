package access

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sessionkeeper/internal/secretfile"
)

// pollInterval is how often files that may be replaced are read again: a file
// that is mounted into a container changes without a signal.
const pollInterval = 5 * time.Second

// Tokens are the accepted bearer tokens.
type Tokens struct {
	// Interval is how often [Tokens.Watch] reads the file. Default: every five seconds.
	Interval time.Duration
	path     string

	mu     sync.Mutex
	byHash map[hash]*Token
	// unreadable is why the file cannot be read, nil if it can. Then nobody knows
	// which tokens are accepted.
	unreadable error
	// rejected is why the file's last content is not used, nil if it is.
	rejected error
	// applied is what was last read and applied. seen was read after that.
	applied, seen string
}

// ReadTokens reads a file of the form that [ParseTokens] describes. [Tokens.Watch]
// reads the file again every five seconds.
func ReadTokens(path string) (*Tokens, error) {
	text, err := secretfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	t, err := ParseTokens(string(text))
	if err != nil {
		return nil, fmt.Errorf("tokens in %s: %w", path, err)
	}
	t.path, t.Interval, t.applied = path, pollInterval, contentOf(text, nil)
	return t, nil
}

// contentOf tells what was read from what was read before.
func contentOf(text []byte, err error) string { return fmt.Sprintf("%x %v", sha256.Sum256(text), err) }

// Watch reads the file again and again until ctx ends, and calls changed
// after each change. A change counts when it was read twice, so that a file may also
// be written in place. While the file is invalid, the tokens stay as they are. While
// it cannot be read, no token is accepted. Tokens that come from no file, and nil,
// are not watched.
func (t *Tokens) Watch(ctx context.Context, logger *slog.Logger, changed func()) {
	if t == nil || t.path == "" {
		return
	}
	go func() {
		ticker := time.NewTicker(t.Interval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if t.reload(logger) {
				changed()
			}
		}
	}()
}

// reload reads the file and reports whether other tokens count now.
func (t *Tokens) reload(logger *slog.Logger) bool {
	text, err := secretfile.Read(t.path)
	content := contentOf(text, err)
	if content == t.applied || content != t.seen {
		t.seen = content
		return false
	}
	t.applied = content
	if err != nil {
		logger.Error("The tokens cannot be read: every request is answered with 503", "error", err)
		t.set(nil, err)
		return false // nobody knows whose token is gone
	}
	next, err := ParseTokens(string(text))
	if err != nil {
		logger.Error("The tokens were not replaced", "error", fmt.Errorf("tokens in %s: %w", t.path, err))
		t.mu.Lock()
		defer t.mu.Unlock()
		t.rejected = err
		return false
	}
	logger.Info("The tokens were replaced", "tokens", len(next.byHash))
	t.set(next.byHash, nil)
	return true
}

func (t *Tokens) set(byHash map[hash]*Token, unreadable error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byHash, t.unreadable, t.rejected = byHash, unreadable, unreadable
}

// Named returns the accepted tokens by name.
func (t *Tokens) Named() map[string]*Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	named := make(map[string]*Token, len(t.byHash))
	for _, token := range t.byHash {
		named[token.Name] = token
	}
	return named
}

// Find returns the bearer token of a request, nil if it has none that is accepted. The
// error is not nil while the tokens cannot be read.
func (t *Tokens) Find(h http.Header) (*Token, error) {
	bearer, ok := bearerOf(h.Values("Authorization"))
	if !ok {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byHash[sha256.Sum256([]byte(bearer))], t.unreadable
}

// bearerOf returns the bearer token of a request that has exactly one.
func bearerOf(authorization []string) (token string, ok bool) {
	if len(authorization) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(authorization[0], " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

// isStale reports whether the file's content is not used.
func (t *Tokens) isStale() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rejected != nil
}

// Register adds the metrics of the tokens.
func (t *Tokens) Register(registry *prometheus.Registry) {
	if t == nil {
		return
	}
	gauge := func(name, help string, value func() int) {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(value()) }))
	}
	gauge("sessionkeeper_tokens", "Accepted tokens", func() int { return len(t.Named()) })
	gauge("sessionkeeper_tokens_stale", "1 while the file of the tokens is invalid or cannot be read", func() int {
		if t.isStale() {
			return 1
		}
		return 0
	})
}

// WarnOfExposure warns if other users can change the file of the tokens.
func (t *Tokens) WarnOfExposure(logger *slog.Logger) {
	if t == nil || t.path == "" {
		return
	}
	if exposure := secretfile.TamperExposure(t.path); exposure != "" {
		logger.Warn("The file of the tokens "+exposure, "file", t.path)
	}
}
