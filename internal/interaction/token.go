package interaction

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

// TokenSource hands out access tokens. It must be safe for concurrent use.
type TokenSource interface {
	// Token returns the current access token, or fetches one.
	Token(ctx context.Context) (string, error)
	// Renew returns an access token to use instead of the rejected one. It
	// fetches one only while the current token is still the rejected one, so
	// many callers with the same rejected token cause one fetch. The new token
	// may equal the rejected one.
	Renew(ctx context.Context, rejected string) (string, error)
}

const (
	defaultTokenLifetime = 10 * time.Minute
	// How long a token stands that was granted again when it was rejected. The
	// rejection then has another cause, and asking again would not remove it.
	confirmedFor = 5 * time.Second
)

// cachedTokens keeps the token of the last grant. At most one grant is under
// way, and it goes on for the others when a caller gives up waiting.
type cachedTokens struct {
	grant    func(context.Context) (*oauth2.Token, error)
	lifetime time.Duration
	timeout  time.Duration // of a grant
	grants   singleflight.Group

	mu             sync.Mutex
	token          string
	expires        time.Time
	confirmedUntil time.Time
}

// Token returns the cached token, unless it has outlived its lifetime.
func (c *cachedTokens) Token(ctx context.Context) (string, error) {
	return c.Renew(ctx, "")
}

// Renew returns the cached token if it may be used and is not the rejected one.
func (c *cachedTokens) Renew(ctx context.Context, rejected string) (string, error) {
	c.mu.Lock()
	if c.usable(rejected) {
		defer c.mu.Unlock()
		return c.token, nil
	}
	// Joined under the lock, as is its end in refresh: a caller meets either
	// the grant under way or its result.
	granted := c.grants.DoChan("", func() (any, error) {
		return c.refresh(context.WithoutCancel(ctx), rejected)
	})
	c.mu.Unlock()
	select {
	case result := <-granted:
		token, _ := result.Val.(string)
		return token, result.Err
	case <-ctx.Done():
		return "", fmt.Errorf("waiting for an access token: %w", ctx.Err())
	}
}

func (c *cachedTokens) usable(rejected string) bool {
	now := time.Now()
	if c.token == "" || !now.Before(c.expires) {
		return false
	}
	return c.token != rejected || now.Before(c.confirmedUntil)
}

// refresh fetches a token. When that fails, the old one stays: it may have been
// rejected for another reason than its age.
func (c *cachedTokens) refresh(ctx context.Context, rejected string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	granted, err := c.grant(ctx)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.grants.Forget("")
	if err != nil {
		return "", err
	}
	now := time.Now()
	c.token, c.expires = granted.AccessToken, now.Add(c.lifetime)
	if stated := granted.Expiry; !stated.IsZero() && stated.Before(c.expires) {
		c.expires = stated
	}
	if c.token == rejected {
		c.confirmedUntil = now.Add(confirmedFor)
	} else {
		c.confirmedUntil = time.Time{}
	}
	return c.token, nil
}

// Format shows nothing of the token, whatever the verb.
func (c *cachedTokens) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "interaction.TokenSource")
}
