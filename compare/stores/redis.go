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
	"sessionkeeper/local/program"
)

// Redis is a running Redis server.
type Redis struct {
	// Address is its host:port.
	Address string `json:"address"`
	PID     int    `json:"pid"`
	Version string `json:"version"`
}

// Client returns a client with enough connections for all senders.
func (r Redis) Client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: r.Address, PoolSize: 64})
}

// Size is how many bytes of memory all keys and their values use. Redis's own
// total changes by more than that with its connections and logs.
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
		// 0 means that every element is counted.
		size, err := client.MemoryUsage(ctx, keys.Val(), 0).Result()
		if err != nil && !errors.Is(err, redis.Nil) { // deleted meanwhile
			return 0, fmt.Errorf("size of Redis: key %s: %w", keys.Val(), err)
		}
		bytes += size
	}
}

// infoField returns a field of Redis's INFO, or "" when it has none.
func infoField(info, field string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// RedisSettings are the settings that differ from Redis's defaults: writes go to
// a log that is synced to the disk every second, so that a crash loses at most
// one second.
var RedisSettings = []string{"--appendonly", "yes", "--appendfsync", "everysec", "--save", ""}

func startRedis(ctx context.Context, directory string) (*process.Process, Redis, error) {
	server, err := program.Find("redis-server", "redis-server", "/usr/local/bin")
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
	arguments := []string{"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", directory}
	arguments = append(arguments, RedisSettings...)
	// The server runs until Stop, not until ctx ends.
	ctxOfServer := context.WithoutCancel(ctx)
	command := exec.CommandContext(ctxOfServer, server, arguments...) //nolint:gosec // server is Redis's path
	running, err := process.Start(command, syscall.SIGTERM)
	if err != nil {
		return nil, Redis{}, err
	}
	r.PID = running.PID()
	client := r.Client()
	defer func() { _ = client.Close() }()
	err = waitUntilReady(ctx, running, func(ctx context.Context) error {
		text, err := client.Info(ctx, "server").Result()
		r.Version = infoField(text, "redis_version")
		return err
	})
	if err != nil {
		return nil, Redis{}, errors.Join(err, running.Stop(startStopTimeout))
	}
	return running, r, nil
}
