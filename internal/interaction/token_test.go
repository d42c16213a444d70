package interaction

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
)

// grants counts the grants, of which each takes a second and returns what next
// says.
type grants struct {
	count atomic.Int32
	next  func(n int32) (*oauth2.Token, error)
}

func (g *grants) grant(ctx context.Context) (*oauth2.Token, error) {
	n := g.count.Add(1)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return g.next(n)
}

func numbered(n int32) (*oauth2.Token, error) {
	return &oauth2.Token{AccessToken: "token-" + strconv.Itoa(int(n))}, nil
}

func newCache(next func(int32) (*oauth2.Token, error)) (*cachedTokens, *grants) {
	g := &grants{next: next}
	return &cachedTokens{grant: g.grant, lifetime: 10 * time.Minute, timeout: 5 * time.Second}, g
}

// together runs f in a thousand goroutines, of which half begin once the others
// have their answer or wait for it.
func together(f func() (string, error)) map[string]int {
	const callers = 1000
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		seen = map[string]int{}
	)
	for i := range callers {
		if i == callers/2 {
			synctest.Wait()
		}
		all.Go(func() {
			token, err := f()
			if err != nil {
				token = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			seen[token]++
		})
	}
	all.Wait()
	return seen
}

func TestTokenStormCausesOneGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, grants := newCache(numbered)
		require.Equal(t, map[string]int{"token-1": 1000}, together(func() (string, error) { return cache.Token(t.Context()) }))
		require.EqualValues(t, 1, grants.count.Load())
	})
}

func TestRejectionStormCausesOneGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, grants := newCache(numbered)
		first, err := cache.Token(t.Context())
		require.NoError(t, err)
		renew := func() (string, error) { return cache.Renew(t.Context(), first) }
		require.Equal(t, map[string]int{"token-2": 1000}, together(renew))
		require.Equal(t, map[string]int{"token-2": 1000}, together(renew), "who comes late gets the new token")
		require.EqualValues(t, 2, grants.count.Load())

		next, err := cache.Renew(t.Context(), "token-2")
		require.NoError(t, err)
		require.Equal(t, "token-3", next, "a fresh token can be rejected too")
	})
}

func TestRejectionStormOfATokenGrantedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, grants := newCache(func(int32) (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "same"}, nil })
		_, err := cache.Token(t.Context())
		require.NoError(t, err)
		renew := func() (string, error) { return cache.Renew(t.Context(), "same") }
		require.Equal(t, map[string]int{"same": 1000}, together(renew))
		require.Equal(t, map[string]int{"same": 1000}, together(renew))
		require.EqualValues(t, 2, grants.count.Load())

		<-time.After(confirmedFor)
		_, err = renew()
		require.NoError(t, err)
		require.EqualValues(t, 3, grants.count.Load(), "later it is asked for again")
	})
}

func TestTokenLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, grants := newCache(numbered)
		use := func() string {
			token, err := cache.Token(t.Context())
			require.NoError(t, err)
			return token
		}
		require.Equal(t, "token-1", use())
		<-time.After(10*time.Minute - time.Nanosecond)
		require.Equal(t, "token-1", use())
		<-time.After(time.Nanosecond)
		require.Equal(t, "token-2", use())
		require.EqualValues(t, 2, grants.count.Load())
	})
}

func TestStatedExpiryShortensTheLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, _ := newCache(func(n int32) (*oauth2.Token, error) {
			token, _ := numbered(n)
			token.Expiry = time.Now().Add(time.Minute)
			return token, nil
		})
		for _, want := range []string{"token-1", "token-2"} {
			token, err := cache.Token(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, token)
			<-time.After(time.Minute)
		}
	})
}

func TestImpatientCallerLeavesTheGrantToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, grants := newCache(numbered)
		impatient, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 1)
		go func() {
			_, err := cache.Token(impatient)
			errs <- err
		}()
		synctest.Wait() // the impatient one has begun the grant
		tokens := make(chan string, 1)
		go func() {
			token, err := cache.Token(t.Context())
			tokens <- fmt.Sprint(token, err)
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-errs, context.Canceled)
		require.Equal(t, "token-1<nil>", <-tokens)
		require.EqualValues(t, 1, grants.count.Load())
	})
}

func TestFailedGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		cache, grants := newCache(func(n int32) (*oauth2.Token, error) {
			if n == 1 || n == 3 {
				return nil, broken
			}
			return numbered(n)
		})
		require.Equal(t, map[string]int{"broken": 1000}, together(func() (string, error) { return cache.Token(t.Context()) }))
		require.EqualValues(t, 1, grants.count.Load())

		token, err := cache.Token(t.Context())
		require.NoError(t, err, "a failure is not kept")
		require.Equal(t, "token-2", token)

		_, err = cache.Renew(t.Context(), token)
		require.ErrorIs(t, err, broken)
		token, err = cache.Token(t.Context())
		require.NoError(t, err)
		require.Equal(t, "token-2", token, "the old token may still serve others")
	})
}

func TestHangingGrantEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := &cachedTokens{
			grant: func(ctx context.Context) (*oauth2.Token, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			lifetime: time.Minute, timeout: 5 * time.Second,
		}
		begin := time.Now()
		_, err := cache.Token(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 5*time.Second, time.Since(begin))
	})
}

func TestCacheShowsNoToken(t *testing.T) {
	cache := &cachedTokens{token: "hunter2"}
	require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", cache, cache, cache, struct{ S TokenSource }{cache}), "hunter2")
}
