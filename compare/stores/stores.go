// Package stores runs temporary PostgreSQL and Redis servers on free ports of
// 127.0.0.1. Their data directory is removed when they stop.
package stores

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"sessionkeeper/compare/process"
)

// Servers has the addresses of running servers. It can be passed to another
// process as JSON.
type Servers struct {
	Postgres Postgres `json:"postgres"`
	Redis    Redis    `json:"redis"`
}

// Running are servers that this process has started.
type Running struct {
	Servers

	directory string
	postgres  *process.Process
	redis     *process.Process
}

// Start starts both servers and returns when they are ready. When a program is
// not installed, the error names its Debian package. Stop them with
// [Running.Stop].
func Start(ctx context.Context) (_ *Running, err error) {
	directory, err := os.MkdirTemp("", "sessionkeeper-compare-")
	if err != nil {
		return nil, fmt.Errorf("directory for the stores: %w", err)
	}
	r := &Running{directory: directory}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Stop())
		}
	}()
	// PostgreSQL's user must be able to enter the directory.
	if err := os.Chmod(directory, 0o711); err != nil { //nolint:gosec // nothing in it is readable by others
		return nil, fmt.Errorf("directory for the stores: %w", err)
	}
	if r.postgres, r.Postgres, err = startPostgres(ctx, filepath.Join(directory, "postgres")); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	if r.redis, r.Redis, err = startRedis(ctx, filepath.Join(directory, "redis")); err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	return r, nil
}

// Stop stops the servers and removes their data. A second call does nothing.
func (r *Running) Stop() error {
	err := errors.Join(r.redis.Stop(startStopTimeout), r.postgres.Stop(startStopTimeout))
	if removed := os.RemoveAll(r.directory); removed != nil {
		err = errors.Join(err, fmt.Errorf("remove the stores' data: %w", removed))
	}
	return err
}

// freePort returns a port of 127.0.0.1 that is not in use now.
func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port //nolint:errcheck // a TCP listener has a TCP address
	return port, listener.Close()
}
