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

// endpoint counts the token requests. Each takes one second and returns the result
// of next.
type endpoint struct {
	count atomic.Int32
	next  func(n int32) (*oauth2.Token, error)
}

func (e *endpoint) fetch(ctx context.Context) (*oauth2.Token, error) {
	n := e.count.Add(1)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return e.next(n)
}

func numbered(n int32) (*oauth2.Token, error) {
	return &oauth2.Token{AccessToken: "token-" + strconv.Itoa(int(n))}, nil
}

func newCache(next func(int32) (*oauth2.Token, error)) (*tokenCache, *endpoint) {
	e := &endpoint{next: next}
	return &tokenCache{fetch: e.fetch, lifetime: 10 * time.Minute, timeout: 5 * time.Second}, e
}

// callManyTimes runs f in 1,000 goroutines and counts the results. The second half
// starts when each of the first half has its result or waits for it.
func callManyTimes(f func() (string, error)) map[string]int {
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

func TestManyCallersCauseOneTokenRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, endpoint := newCache(numbered)
		require.Equal(t, map[string]int{"token-1": 1000},
			callManyTimes(func() (string, error) { return cache.Token(t.Context()) }))
		require.EqualValues(t, 1, endpoint.count.Load())
	})
}

func TestManyRejectionsCauseOneTokenRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, endpoint := newCache(numbered)
		first, err := cache.Token(t.Context())
		require.NoError(t, err)
		renew := func() (string, error) { return cache.Renew(t.Context(), first) }
		require.Equal(t, map[string]int{"token-2": 1000}, callManyTimes(renew))
		require.Equal(t, map[string]int{"token-2": 1000}, callManyTimes(renew), "later callers get the new token")
		require.EqualValues(t, 2, endpoint.count.Load())

		next, err := cache.Renew(t.Context(), "token-2")
		require.NoError(t, err)
		require.Equal(t, "token-3", next, "a new token can be rejected too")
	})
}

func TestRejectedTokenIsReusedIfFetchedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, endpoint := newCache(func(int32) (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "same"}, nil })
		_, err := cache.Token(t.Context())
		require.NoError(t, err)
		renew := func() (string, error) { return cache.Renew(t.Context(), "same") }
		require.Equal(t, map[string]int{"same": 1000}, callManyTimes(renew))
		require.Equal(t, map[string]int{"same": 1000}, callManyTimes(renew))
		require.EqualValues(t, 2, endpoint.count.Load())

		<-time.After(reuseRejectedFor)
		_, err = renew()
		require.NoError(t, err)
		require.EqualValues(t, 3, endpoint.count.Load(), "later it is fetched again")
	})
}

func TestTokenIsFetchedAgainAfterItsLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, endpoint := newCache(numbered)
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
		require.EqualValues(t, 2, endpoint.count.Load())
	})
}

func TestExpiryInTheResponseShortensTheLifetime(t *testing.T) {
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

func TestCancelledCallerDoesNotCancelTheTokenRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache, endpoint := newCache(numbered)
		cancelled, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 1)
		go func() {
			_, err := cache.Token(cancelled)
			errs <- err
		}()
		synctest.Wait() // the token request is in flight
		tokens := make(chan string, 1)
		go func() {
			token, err := cache.Token(t.Context())
			tokens <- fmt.Sprint(token, err)
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-errs, context.Canceled)
		require.Equal(t, "token-1<nil>", <-tokens)
		require.EqualValues(t, 1, endpoint.count.Load())
	})
}

func TestFailedTokenRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		cache, endpoint := newCache(func(n int32) (*oauth2.Token, error) {
			if n == 1 || n == 3 {
				return nil, broken
			}
			return numbered(n)
		})
		require.Equal(t, map[string]int{"broken": 1000},
			callManyTimes(func() (string, error) { return cache.Token(t.Context()) }))
		require.EqualValues(t, 1, endpoint.count.Load())

		_, err := cache.Token(t.Context())
		require.ErrorIs(t, err, broken, "callers that come a little later share the failure")
		require.EqualValues(t, 1, endpoint.count.Load())

		<-time.After(reuseFailureFor)
		token, err := cache.Token(t.Context())
		require.NoError(t, err, "then there is another request")
		require.Equal(t, "token-2", token)

		_, err = cache.Renew(t.Context(), token)
		require.ErrorIs(t, err, broken)
		token, err = cache.Token(t.Context())
		require.NoError(t, err)
		require.Equal(t, "token-2", token, "the old token may still be valid")
	})
}

func TestTokenRequestTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := &tokenCache{
			fetch: func(ctx context.Context) (*oauth2.Token, error) {
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

func TestFormattedTokenCacheHidesTheToken(t *testing.T) {
	cache := &tokenCache{token: "hunter2"}
	require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", cache, cache, cache, struct{ S TokenSource }{cache}), "hunter2")
}
