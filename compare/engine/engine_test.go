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

// servers are the servers of all tests. They are nil when a program is not
// installed; notInstalled says which.
var (
	servers      *stores.Running
	notInstalled error
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		switch running, err := stores.Start(context.Background()); {
		case errors.Is(err, exec.ErrNotFound):
			notInstalled = err
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

// open opens an engine and returns the conversations that it calls for. respond
// is the result of each attempt to call.
func open(
	t *testing.T, key string, idle time.Duration, respond func(attempt int) error,
) (engine.Instance, <-chan string) {
	t.Helper()
	if servers == nil {
		t.Skip("PostgreSQL and Redis are not installed: ", notInstalled)
	}
	chosen, err := engine.Choose([]string{key})
	require.NoError(t, err)
	calls := make(chan string, 100)
	attempts := 0
	call := func(_ context.Context, id string) error {
		attempts++
		if err := respond(attempts); err != nil {
			return err
		}
		calls <- id
		return nil
	}
	instance, err := chosen[0].Open(t.Context(), engine.Setup{Stores: servers.Servers, Idle: idle, Call: call})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, instance.Close(context.WithoutCancel(t.Context()))) })
	return instance, calls
}

func succeed(int) error { return nil }

// flush lets an engine report what its sender has absorbed.
func flush(t *testing.T, instance engine.Instance) {
	t.Helper()
	if f, ok := instance.(engine.Flusher); ok {
		require.NoError(t, f.Flush(t.Context()))
	}
}

// requireDeadline requires an idle deadline, at most a second later than
// expected: some engines count from when they receive a message.
func requireDeadline(t *testing.T, instance engine.Instance, want time.Time) {
	t.Helper()
	flush(t, instance)
	deadline, err := instance.IdleDeadline(t.Context(), "c1")
	require.NoError(t, err)
	require.WithinRange(t, deadline, want.Add(-time.Millisecond), want.Add(time.Second))
}

// withoutTemporal are the engines that need no Temporal server.
var withoutTemporal = []string{"asynq", "river", "dbos", "redis", "redis-window", "postgres"}

func TestOneCallAfterTheLastMessage(t *testing.T) {
	for _, key := range withoutTemporal {
		t.Run(key, func(t *testing.T) {
			const idle = 1500 * time.Millisecond
			instance, calls := open(t, key, idle, succeed)
			c, err := instance.StartConversation(t.Context(), "c1", time.Now())
			require.NoError(t, err)
			var last time.Time
			for range 50 {
				last = time.Now()
				require.NoError(t, c.Message(t.Context(), last))
			}
			requireDeadline(t, instance, last.Add(idle))

			require.Equal(t, "c1", <-calls)
			require.False(t, time.Now().Before(last.Add(idle)), "early")
			require.Eventually(t, func() bool {
				deadline, err := instance.IdleDeadline(t.Context(), "c1")
				return err == nil && deadline.IsZero()
			}, 10*time.Second, 5*time.Millisecond, "the deadline is still stored")

			// The next message starts the clock again.
			last = time.Now()
			require.NoError(t, c.Message(t.Context(), last))
			requireDeadline(t, instance, last.Add(idle))
			require.Empty(t, calls, "called twice")
		})
	}
}

func TestNoCallWhileMessagesArrive(t *testing.T) {
	for _, key := range []string{"asynq", "river", "redis", "redis-window"} {
		t.Run(key, func(t *testing.T) {
			const idle = 1200 * time.Millisecond
			instance, calls := open(t, key, idle, succeed)
			c, err := instance.StartConversation(t.Context(), "c1", time.Now())
			require.NoError(t, err)
			tick := time.NewTicker(idle / 4)
			defer tick.Stop()
			var last time.Time
			for range 12 {
				last = <-tick.C
				require.NoError(t, c.Message(t.Context(), last))
			}
			require.Empty(t, calls, "called while messages arrived")
			require.Equal(t, "c1", <-calls)
			require.False(t, time.Now().Before(last.Add(idle)), "early")
		})
	}
}

// Within a window the sorted set keeps the deadline of the first report, which
// is an idle time after the end of the lease.
func TestWindowedSortedSetGetsOnlyReports(t *testing.T) {
	const idle = time.Hour
	instance, _ := open(t, "redis-window", idle, succeed)
	first := time.Now()
	c, err := instance.StartConversation(t.Context(), "c1", first)
	require.NoError(t, err)
	leased, err := instance.IdleDeadline(t.Context(), "c1")
	require.NoError(t, err)
	require.Greater(t, leased, first.Add(idle))
	for i := range 100 {
		require.NoError(t, c.Message(t.Context(), first.Add(time.Duration(i)*time.Millisecond)))
	}
	unchanged, err := instance.IdleDeadline(t.Context(), "c1")
	require.NoError(t, err)
	require.Equal(t, leased, unchanged)
}

func TestStartingAConversationAgainIsAMessage(t *testing.T) {
	for _, key := range withoutTemporal {
		t.Run(key, func(t *testing.T) {
			instance, _ := open(t, key, time.Hour, succeed)
			first := time.Now().Add(-10 * time.Minute)
			for i := range 3 {
				_, err := instance.StartConversation(t.Context(), "c1", first.Add(time.Duration(i)*time.Minute))
				require.NoError(t, err)
			}
			requireDeadline(t, instance, first.Add(time.Hour+2*time.Minute))
			deadline, err := instance.IdleDeadline(t.Context(), "c2")
			require.NoError(t, err)
			require.Zero(t, deadline)
		})
	}
}

func TestFailedCallStaysDue(t *testing.T) {
	for _, key := range []string{"redis", "postgres"} {
		t.Run(key, func(t *testing.T) {
			failed := make(chan struct{}, 100)
			instance, calls := open(t, key, time.Millisecond, func(attempt int) error {
				if attempt == 1 {
					failed <- struct{}{}
					return errors.New("no response")
				}
				return nil
			})
			_, err := instance.StartConversation(t.Context(), "c1", time.Now())
			require.NoError(t, err)
			<-failed
			if key == "redis" { // retried when the claim ends, which is too long for a test
				deadline, err := instance.IdleDeadline(t.Context(), "c1")
				require.NoError(t, err)
				require.WithinDuration(t, time.Now().Add(30*time.Second), deadline, 5*time.Second)
				return
			}
			require.Equal(t, "c1", <-calls)
		})
	}
}

func TestStoredBytesGrowWithConversations(t *testing.T) {
	for _, key := range withoutTemporal {
		t.Run(key, func(t *testing.T) {
			instance, _ := open(t, key, time.Hour, succeed)
			before, err := instance.StoredBytes(t.Context())
			require.NoError(t, err)
			for i := range 500 {
				_, err := instance.StartConversation(t.Context(), fmt.Sprintf("c%d", i), time.Now())
				require.NoError(t, err)
			}
			after, err := instance.StoredBytes(t.Context())
			require.NoError(t, err)
			require.Greater(t, after-before, int64(500*len("c100")))
		})
	}
}

func TestChoose(t *testing.T) {
	all, err := engine.Choose(nil)
	require.NoError(t, err)
	require.Len(t, all, 9)

	some, err := engine.Choose([]string{"redis", "asynq"})
	require.NoError(t, err)
	require.Equal(t, []string{"asynq", "redis"}, []string{some[0].Key, some[1].Key}, "in the order of the table")

	_, err = engine.Choose([]string{"redis", "rabbit"})
	require.ErrorContains(t, err, `no engine "rabbit"; there are sessionkeeper, `)
}
