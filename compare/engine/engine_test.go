package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/compare/engine"
	"sessionkeeper/compare/stores"
)

// servers of all tests; nil when they are not installed, for the reason missing.
var (
	servers *stores.Running
	missing error
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		switch running, err := stores.Start(context.Background()); {
		case errors.Is(err, exec.ErrNotFound):
			missing = err
		case err != nil:
			fmt.Fprintln(os.Stderr, err)
			return 1
		default:
			servers = running
			defer func() { _ = running.Stop() }()
		}
		return m.Run()
	}())
}

// open opens an engine and returns what it calls.
func open(t *testing.T, key string, idle time.Duration, answer func(attempt int) error) (engine.Session, <-chan string) {
	t.Helper()
	if servers == nil {
		t.Skip("PostgreSQL and Redis are not installed: ", missing)
	}
	chosen, err := engine.Choose([]string{key})
	require.NoError(t, err)
	calls := make(chan string, 100)
	attempts := 0
	session, err := chosen[0].Open(t.Context(), engine.Setup{Stores: servers.Servers, Idle: idle, Call: func(_ context.Context, id string) error {
		attempts++
		if err := answer(attempts); err != nil {
			return err
		}
		calls <- id
		return nil
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, session.Close(context.WithoutCancel(t.Context()))) })
	return session, calls
}

func always(int) error { return nil }

// grain is how exactly an engine stores times.
func grain(key string) time.Duration {
	if key == "asynq" {
		return time.Second
	}
	return time.Millisecond
}

// requireDue wants a conversation's call to be due at a time; a little later
// will do, as some engines count from when they take a message.
func requireDue(t *testing.T, key string, session engine.Session, want time.Time) {
	t.Helper()
	due, err := session.Due(t.Context(), "c1")
	require.NoError(t, err)
	require.WithinRange(t, due, want.Add(-grain(key)), want.Add(time.Second))
}

// Those that need no Temporal server.
var peers = []string{"asynq", "asynq-tuned", "river", "dbos", "redis", "sweep-1s"}

func TestACallIsMadeOnceAfterTheLastMessage(t *testing.T) {
	for _, key := range peers {
		t.Run(key, func(t *testing.T) {
			const idle = 1500 * time.Millisecond
			session, calls := open(t, key, idle, always)
			c, err := session.Begin(t.Context(), "c1", time.Now())
			require.NoError(t, err)
			var last time.Time
			for range 50 {
				last = time.Now()
				require.NoError(t, c.Message(t.Context(), last))
			}
			requireDue(t, key, session, last.Add(idle))

			require.Equal(t, "c1", <-calls)
			require.False(t, time.Now().Before(last.Add(idle-grain(key))), "early")
			require.Eventually(t, func() bool {
				due, err := session.Due(t.Context(), "c1")
				return err == nil && due.IsZero()
			}, 10*time.Second, 5*time.Millisecond, "it is over")

			// The next message begins anew.
			last = time.Now()
			require.NoError(t, c.Message(t.Context(), last))
			requireDue(t, key, session, last.Add(idle))
			require.Empty(t, calls, "called twice")
		})
	}
}

// Those that look at the deadline only when a job runs must then wait on.
func TestNoCallWhileMessagesCome(t *testing.T) {
	for _, key := range []string{"asynq-tuned", "river", "redis"} {
		t.Run(key, func(t *testing.T) {
			const idle = 1200 * time.Millisecond
			session, calls := open(t, key, idle, always)
			c, err := session.Begin(t.Context(), "c1", time.Now())
			require.NoError(t, err)
			tick := time.NewTicker(idle / 4)
			defer tick.Stop()
			var last time.Time
			for range 12 {
				last = <-tick.C
				require.NoError(t, c.Message(t.Context(), last))
			}
			require.Empty(t, calls, "called while messages came")
			require.Equal(t, "c1", <-calls)
			require.False(t, time.Now().Before(last.Add(idle)), "early")
		})
	}
}

func TestBeginningAgainIsAMessage(t *testing.T) {
	for _, key := range peers {
		t.Run(key, func(t *testing.T) {
			session, _ := open(t, key, time.Hour, always)
			now := time.Now()
			for i := range 3 {
				_, err := session.Begin(t.Context(), "c1", now.Add(time.Duration(i)*time.Minute))
				require.NoError(t, err)
			}
			requireDue(t, key, session, now.Add(time.Hour+2*time.Minute))
			due, err := session.Due(t.Context(), "c2")
			require.NoError(t, err)
			require.Zero(t, due)
		})
	}
}

// A call that fails is not forgotten.
func TestAFailedCallStaysDue(t *testing.T) {
	for _, key := range []string{"redis", "sweep-1s"} {
		t.Run(key, func(t *testing.T) {
			failed := make(chan struct{}, 100)
			session, calls := open(t, key, time.Millisecond, func(attempt int) error {
				if attempt == 1 {
					failed <- struct{}{}
					return errors.New("no answer")
				}
				return nil
			})
			_, err := session.Begin(t.Context(), "c1", time.Now())
			require.NoError(t, err)
			<-failed
			if key == "redis" { // tried again after the lease, which a test does not wait for
				due, err := session.Due(t.Context(), "c1")
				require.NoError(t, err)
				require.WithinDuration(t, time.Now().Add(30*time.Second), due, 5*time.Second)
				return
			}
			require.Equal(t, "c1", <-calls)
		})
	}
}

func TestStoredGrowsWithConversations(t *testing.T) {
	for _, key := range peers {
		t.Run(key, func(t *testing.T) {
			session, _ := open(t, key, time.Hour, always)
			before, err := session.Stored(t.Context())
			require.NoError(t, err)
			for i := range 500 {
				_, err := session.Begin(t.Context(), fmt.Sprintf("c%d", i), time.Now())
				require.NoError(t, err)
			}
			after, err := session.Stored(t.Context())
			require.NoError(t, err)
			require.Greater(t, after-before, int64(500*len("c100")))
		})
	}
}

func TestChoose(t *testing.T) {
	all, err := engine.Choose(nil)
	require.NoError(t, err)
	require.Len(t, all, 10)

	some, err := engine.Choose([]string{"redis", "asynq"})
	require.NoError(t, err)
	require.Equal(t, []string{"asynq", "redis"}, []string{some[0].Key, some[1].Key}, "in the table's order")

	_, err = engine.Choose([]string{"redis", "rabbit"})
	require.ErrorContains(t, err, `no engine "rabbit"; there are sessionkeeper, `)
}
