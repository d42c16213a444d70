package stores

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func start(t *testing.T) *Running {
	t.Helper()
	r, err := Start(t.Context())
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("PostgreSQL and Redis are not installed: ", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Stop()) })
	return r
}

func TestServers(t *testing.T) {
	r := start(t)
	ctx := t.Context()
	require.Regexp(t, `^\d+`, r.Postgres.Version)
	require.Regexp(t, `^\d+\.\d+`, r.Redis.Version)

	require.NoError(t, r.Postgres.NewDatabase(ctx, "numbers"))
	conn, err := pgx.Connect(ctx, r.Postgres.URL("numbers"))
	require.NoError(t, err)
	empty, err := r.Postgres.Size(ctx, "numbers")
	require.NoError(t, err)
	before, err := r.CPU()
	require.NoError(t, err)
	_, err = conn.Exec(ctx, "CREATE TABLE words AS SELECT repeat(n::text, 20) FROM generate_series(1, 100000) n")
	require.NoError(t, err)
	used, err := r.CPU()
	require.NoError(t, err)
	require.GreaterOrEqual(t, used-before, 2*tick)
	// The process of the connection ends. Its CPU time is still counted.
	require.NoError(t, conn.Close(ctx))
	require.Eventually(t, func() bool {
		_, err := readProcess(int(conn.PgConn().PID()))
		return errors.Is(err, os.ErrNotExist)
	}, 10*time.Second, 10*time.Millisecond)
	after, err := r.CPU()
	require.NoError(t, err)
	require.GreaterOrEqual(t, after, used)
	full, err := r.Postgres.Size(ctx, "numbers")
	require.NoError(t, err)
	require.Greater(t, full-empty, int64(8_000_000))

	// A new database of the same name is empty, even if a client is connected to
	// the old one.
	_, err = pgx.Connect(ctx, r.Postgres.URL("numbers"))
	require.NoError(t, err)
	require.NoError(t, r.Postgres.NewDatabase(ctx, "numbers"))
	again, err := r.Postgres.Size(ctx, "numbers")
	require.NoError(t, err)
	require.Equal(t, empty, again)

	client := r.Redis.Client()
	defer client.Close()
	without, err := r.Redis.Size(ctx)
	require.NoError(t, err)
	_, err = client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range 10_000 {
			pipe.Set(ctx, fmt.Sprintf("word-%d", i), strings.Repeat("x", 100), 0)
		}
		return nil
	})
	require.NoError(t, err)
	with, err := r.Redis.Size(ctx)
	require.NoError(t, err)
	require.InDelta(t, 10_000*(100+60), with-without, 10_000*40, "the values, and the keys with their overhead")
}

func TestStopLeavesNoProcessAndNoData(t *testing.T) {
	r := start(t)
	require.NoError(t, r.Stop())
	for _, pid := range []int{r.Postgres.PID, r.Redis.PID} {
		_, err := readProcess(pid)
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	for _, address := range []string{r.Postgres.Address, r.Redis.Address} {
		_, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		require.Error(t, err)
	}
	require.NoDirExists(t, r.directory)
	_, err := r.CPU()
	require.ErrorIs(t, err, os.ErrProcessDone)
	require.NoError(t, r.Stop(), "a second call does nothing")
}

func TestParseStat(t *testing.T) {
	const rest = " S 7 1 1 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 1 0 5 0"
	for name, line := range map[string]string{
		"plain":              "42 (postgres)" + rest,
		"name with brackets": "42 (a) b (c d) 1 2)" + rest,
	} {
		got, err := parseStat([]byte(line))
		require.NoError(t, err, name)
		require.Equal(t, processTime{parent: 7, own: 330 * time.Millisecond, ended: 770 * time.Millisecond}, got, name)
	}
	for name, line := range map[string]string{
		"empty": "", "cut off": "42 (postgres) S 7", "not a number": "42 (p) S x" + strings.Repeat(" 1", 20),
	} {
		_, err := parseStat([]byte(line))
		require.Error(t, err, name)
	}
}

func TestCPUCountsDescendantsOnly(t *testing.T) {
	processes := map[int]processTime{1: {}, 10: {parent: 1}, 11: {parent: 10}, 12: {parent: 11}, 20: {parent: 1}}
	for pid, want := range map[int]bool{10: true, 11: true, 12: true, 20: false, 1: false, 99: false} {
		require.Equal(t, want, isInTree(processes, pid, []int{10}), "%d", pid)
	}
}
