package simulator

import (
	"crypto/rand"
	"sync"
	"time"
)

// tokens are the access tokens in force.
type tokens struct {
	mu     sync.Mutex
	issued map[string]token
	latest map[*org]string
}

type token struct {
	org     *org
	expires time.Time
}

func newTokens() *tokens {
	return &tokens{issued: map[string]token{}, latest: map[*org]string{}}
}

// issue makes a token of o, or repeats the latest one if reuse is asked for.
func (t *tokens) issue(o *org, reuse bool, now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for text, old := range t.issued {
		if !now.Before(old.expires) {
			delete(t.issued, text)
		}
	}
	if _, works := t.issued[t.latest[o]]; works && reuse {
		return t.latest[o]
	}
	text := o.OrgID + "!" + rand.Text() + rand.Text()
	t.issued[text] = token{o, now.Add(time.Duration(o.TokenLifetime))}
	t.latest[o] = text
	return text
}

// org is whose token it is, nil when it is unknown or has expired.
func (t *tokens) org(text string, now time.Time) *org {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tok, known := t.issued[text]; known && now.Before(tok.expires) {
		return tok.org
	}
	return nil
}

func (t *tokens) revoke(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.issued, text)
}

func (t *tokens) revokeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.issued)
	clear(t.latest)
}
