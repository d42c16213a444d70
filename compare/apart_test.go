package main

import (
	"context"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/compare/job"
	"sessionkeeper/compare/stores"
)

// The test program stands for the bench in the processes it starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == measure {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestApartTellsWhatWentWrongInTheOtherProcess(t *testing.T) {
	got := apart(t.Context(), assignment{Engine: "no-such-engine", Plan: job.Short()}, "x")
	require.Equal(t, "x", got.Name)
	require.Len(t, got.Problems, 1)
	require.Equal(t, "run", got.Problems[0].Part)
	require.Contains(t, got.Problems[0].Reason, "exit status 1")
	require.Contains(t, got.Problems[0].Reason, `no engine "no-such-engine"`)
}

func TestApartTakesTheResultAfterEachPart(t *testing.T) {
	nobody := stores.Servers{Redis: stores.Redis{Address: "127.0.0.1:1"}}
	got := apart(t.Context(), assignment{Engine: "redis", Servers: nobody, Plan: job.Short()}, "x")
	require.Equal(t, "Redis sorted set, Lua claim", got.Name, "as the other process says")
	require.Len(t, got.Problems, 2)
	require.Contains(t, got.Problems[0].Reason, "connection refused")
}

// An engine that hangs is ended, and its process with it.
func TestApartEndsWhatHangs(t *testing.T) {
	var config net.ListenConfig
	silent, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = silent.Accept()
		cancel()
	}()
	servers := stores.Servers{Postgres: stores.Postgres{Address: silent.Addr().String()}}
	began := time.Now()
	got := apart(ctx, assignment{Engine: "sweep-1s", Servers: servers, Plan: job.Short()}, "x")
	require.Less(t, time.Since(began), time.Minute)
	require.Len(t, got.Problems, 1)
	require.Contains(t, got.Problems[0].Reason, "signal: killed")
	_, err = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	require.ErrorIs(t, err, syscall.ECHILD, "no process is left")
}

func TestUnknownEnginesAreAnError(t *testing.T) {
	err := app().Run(t.Context(), []string{"bench", "-engines", "redis,rabbit"})
	require.ErrorContains(t, err, `no engine "rabbit"`)
	err = app().Run(t.Context(), []string{"bench", "redis"})
	require.ErrorContains(t, err, `unexpected argument "redis"`)
}

func TestSummary(t *testing.T) {
	line := summary(job.Result{
		Name:      "x",
		Sustained: []job.Sustained{{Conversations: 10, Messages: 500, Took: 2 * time.Second}},
		Lateness:  &job.Lateness{Max: 1234567 * time.Microsecond},
		Problems:  []job.Problem{{Part: "cost", Reason: "no"}},
	})
	require.Equal(t, "x; 250 messages/s over 10 conversations; calls late by 1.235s at most; cost: no", line)
}
