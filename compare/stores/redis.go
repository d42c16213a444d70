package stores

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"sessionkeeper/compare/process"
)

// Redis is a running Redis server.
type Redis struct {
	// Address is its host:port.
	Address string `json:"address"`
	PID     int    `json:"pid"`
	Version string `json:"version"`
}

// Client connects to it, with room for many connections at once.
func (r Redis) Client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: r.Address, PoolSize: 64})
}

// Size is how many bytes of memory all keys and their values take. Redis's own
// total swings with its connections and logs by more than that.
func (r Redis) Size(ctx context.Context) (bytes int64, err error) {
	client := r.Client()
	defer func() { _ = client.Close() }()
	for keys := client.Scan(ctx, 0, "*", 1_000).Iterator(); ; {
		if !keys.Next(ctx) {
			if err := keys.Err(); err != nil {
				return 0, fmt.Errorf("size of Redis: %w", err)
			}
			return bytes, nil
		}
		// Without samples it counts every element.
		size, err := client.MemoryUsage(ctx, keys.Val(), 0).Result()
		if err != nil && !errors.Is(err, redis.Nil) { // gone since
			return 0, fmt.Errorf("size of Redis: key %s: %w", keys.Val(), err)
		}
		bytes += size
	}
}

// valueOf is a field of Redis's INFO, empty when there is none.
func valueOf(info, field string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// RedisSettings are what differs from Redis's defaults: writes go to a log that
// is forced to the disk once a second, so that a crash costs a second at most.
var RedisSettings = []string{"--appendonly", "yes", "--appendfsync", "everysec", "--save", ""}

func startRedis(ctx context.Context, directory string) (*process.Process, Redis, error) {
	server, err := program("redis-server", "redis-server", "/usr/local/bin")
	if err != nil {
		return nil, Redis{}, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, Redis{}, err
	}
	if err := os.Mkdir(directory, 0o700); err != nil {
		return nil, Redis{}, fmt.Errorf("data directory: %w", err)
	}
	r := Redis{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	arguments := append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", directory}, RedisSettings...)
	// The server outlives the call; stop ends it.
	command := exec.CommandContext(context.WithoutCancel(ctx), server, arguments...) //nolint:gosec // Redis, from where programs are
	running, err := process.Start(command, syscall.SIGTERM)
	if err != nil {
		return nil, Redis{}, err
	}
	r.PID = running.PID()
	client := r.Client()
	defer func() { _ = client.Close() }()
	err = until(ctx, running, func(ctx context.Context) error {
		text, err := client.Info(ctx, "server").Result()
		r.Version = valueOf(text, "redis_version")
		return err //nolint:wrapcheck // until says whose it is
	})
	if err != nil {
		return nil, Redis{}, errors.Join(err, running.Stop(patience))
	}
	return running, r, nil
}
