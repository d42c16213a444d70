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

// TokenSource returns access tokens. It must be safe for concurrent use.
type TokenSource interface {
	// Token returns the current access token. It fetches one if there is none.
	Token(ctx context.Context) (string, error)
	// Renew returns an access token to use instead of the rejected one. It fetches a
	// token only if the current token is the rejected one. So many callers with the
	// same rejected token cause one fetch. The new token may equal the rejected one.
	Renew(ctx context.Context, rejected string) (string, error)
}

const (
	defaultTokenLifetime = 10 * time.Minute
	// The endpoint may return the rejected token again. Then the rejection has
	// another cause than the token's age, and a new token does not help. So the
	// token is used for this time before the next request.
	reuseRejectedFor = time.Minute
	// Many calls that find no token share the failure of a token request for this
	// time, because Salesforce limits the number of logins.
	reuseFailureFor = time.Second
)

// tokenCache is a [TokenSource] that keeps the last token. At most one token request
// is in flight. It does not end when one of the callers stops waiting for it.
type tokenCache struct {
	fetch    func(context.Context) (*oauth2.Token, error)
	lifetime time.Duration
	timeout  time.Duration // of fetch
	inFlight singleflight.Group

	mu                 sync.Mutex
	token              string
	expires            time.Time
	reuseRejectedUntil time.Time
	failure            error // of the last token request, if it failed
	reuseFailureUntil  time.Time
}

// Token returns the cached token until it expires.
func (c *tokenCache) Token(ctx context.Context) (string, error) {
	return c.Renew(ctx, "")
}

// Renew returns the cached token if it has not expired and is not the rejected one.
func (c *tokenCache) Renew(ctx context.Context, rejected string) (string, error) {
	c.mu.Lock()
	if c.usable(rejected) {
		defer c.mu.Unlock()
		return c.token, nil
	}
	if time.Now().Before(c.reuseFailureUntil) {
		defer c.mu.Unlock()
		return "", c.failure
	}
	// The mutex is held here and when refresh ends. So a caller finds either the
	// request in flight or its result.
	result := c.inFlight.DoChan("", func() (any, error) {
		return c.refresh(context.WithoutCancel(ctx), rejected)
	})
	c.mu.Unlock()
	select {
	case fetched := <-result:
		token, _ := fetched.Val.(string)
		return token, fetched.Err
	case <-ctx.Done():
		return "", fmt.Errorf("wait for an access token: %w", ctx.Err())
	}
}

func (c *tokenCache) usable(rejected string) bool {
	now := time.Now()
	if c.token == "" || !now.Before(c.expires) {
		return false
	}
	return c.token != rejected || now.Before(c.reuseRejectedUntil)
}

// refresh fetches a token. If that fails, the old token stays: it may have been
// rejected for another reason than its age.
func (c *tokenCache) refresh(ctx context.Context, rejected string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	fetched, err := c.fetch(ctx)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight.Forget("")
	now := time.Now()
	if err != nil {
		c.failure, c.reuseFailureUntil = err, now.Add(reuseFailureFor)
		return "", err
	}
	c.token, c.expires = fetched.AccessToken, now.Add(c.lifetime)
	if stated := fetched.Expiry; !stated.IsZero() && stated.Before(c.expires) {
		c.expires = stated
	}
	if c.token == rejected {
		c.reuseRejectedUntil = now.Add(reuseRejectedFor)
	} else {
		c.reuseRejectedUntil = time.Time{}
	}
	return c.token, nil
}

// Format hides the token, for every verb.
func (c *tokenCache) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "interaction.TokenSource")
}
