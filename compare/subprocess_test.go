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

// The subprocess of these tests is the test program itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == measureCommandName {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestFailureOfTheSubprocessIsAProblem(t *testing.T) {
	got := measureInSubprocess(t.Context(), measureRequest{Engine: "no-such-engine", Plan: job.Short()}, "x")
	require.Equal(t, "x", got.Name)
	require.Len(t, got.Problems, 1)
	require.Equal(t, "run", got.Problems[0].Part)
	require.Contains(t, got.Problems[0].Reason, "exit status 1")
	require.Contains(t, got.Problems[0].Reason, `no engine "no-such-engine"`)
}

func TestResultOfTheSubprocessIsTaken(t *testing.T) {
	unreachable := stores.Servers{Redis: stores.Redis{Address: "127.0.0.1:1"}}
	request := measureRequest{Engine: "redis", Servers: unreachable, Plan: job.Short()}
	got := measureInSubprocess(t.Context(), request, "x")
	require.Equal(t, "Redis sorted set, Lua claim", got.Name, "the name that the subprocess reports")
	require.Len(t, got.Problems, 2)
	require.Contains(t, got.Problems[0].Reason, "connection refused")
}

func TestSubprocessThatHangsIsKilled(t *testing.T) {
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0") // accepts, and never responds
	require.NoError(t, err)
	defer listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = listener.Accept()
		cancel()
	}()
	servers := stores.Servers{Postgres: stores.Postgres{Address: listener.Addr().String()}}
	began := time.Now()
	got := measureInSubprocess(ctx, measureRequest{Engine: "postgres", Servers: servers, Plan: job.Short()}, "x")
	require.Less(t, time.Since(began), time.Minute)
	require.Len(t, got.Problems, 1)
	require.Contains(t, got.Problems[0].Reason, "signal: killed")
	_, err = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	require.ErrorIs(t, err, syscall.ECHILD, "no process is left")
}

func TestUnknownEnginesAreAnError(t *testing.T) {
	err := newCommand().Run(t.Context(), []string{"compare", "-engines", "redis,rabbit"})
	require.ErrorContains(t, err, `no engine "rabbit"`)
	err = newCommand().Run(t.Context(), []string{"compare", "redis"})
	require.ErrorContains(t, err, `unexpected argument "redis"`)
}

func TestProgressLine(t *testing.T) {
	line := progressLine(job.Result{
		Name:       "x",
		Throughput: []job.Throughput{{Conversations: 10, Messages: 500, Took: 2 * time.Second}},
		Lateness:   &job.Lateness{Max: 1234567 * time.Microsecond},
		Problems:   []job.Problem{{Part: "cost", Reason: "no"}},
	})
	require.Equal(t, "x; 250 messages/s over 10 conversations; calls late by at most 1.235s; cost: no", line)
}
