package stores

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"

	"sessionkeeper/compare/process"
	"sessionkeeper/local/postgres"
)

// Postgres is a running PostgreSQL server.
type Postgres struct {
	// Address is its host:port.
	Address  string `json:"address"`
	User     string `json:"user"`
	Password string `json:"password"`
	PID      int    `json:"pid"`
	Version  string `json:"version"`
}

// URL is the connection string of a database.
func (p Postgres) URL(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(p.User, p.Password), Host: p.Address,
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// NewDatabase makes an empty database. A database of the same name is dropped
// first, and its connections are closed. The name must be a plain word.
func (p Postgres) NewDatabase(ctx context.Context, name string) error {
	if err := p.DropDatabase(ctx, name); err != nil {
		return err
	}
	return p.execute(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
}

// DropDatabase drops a database if it exists.
func (p Postgres) DropDatabase(ctx context.Context, name string) error {
	return p.execute(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
}

// Size is the size of the databases on disk in bytes, after a VACUUM.
func (p Postgres) Size(ctx context.Context, databases ...string) (bytes int64, err error) {
	for _, name := range databases {
		err := p.withConnection(ctx, name, func(conn *pgx.Conn) error {
			if _, err := conn.Exec(ctx, "VACUUM"); err != nil {
				return err
			}
			var size int64
			err := conn.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&size)
			bytes += size
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("size of database %s: %w", name, err)
		}
	}
	return bytes, nil
}

func (p Postgres) execute(ctx context.Context, statement string) error {
	err := p.withConnection(ctx, "postgres", func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, statement)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

func (p Postgres) withConnection(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, p.URL(database))
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	return errors.Join(do(conn), conn.Close(context.WithoutCancel(ctx)))
}

// PostgresSettings are the settings that differ from PostgreSQL's defaults. A
// commit waits for the disk, which is the default.
var PostgresSettings = []string{
	"max_connections=300",
	"shared_buffers=512MB",
	"max_wal_size=4GB", // no checkpoint during a short measurement
}

func startPostgres(ctx context.Context, directory string) (*process.Process, Postgres, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, Postgres{}, err
	}
	server, err := postgres.Create(ctx, directory, port)
	if err != nil {
		return nil, Postgres{}, err
	}
	command := server.Command(PostgresSettings...) //nolint:contextcheck // it runs until Stop, not until ctx ends
	// SIGINT is PostgreSQL's fast shutdown: it does not wait for its clients.
	running, err := process.Start(command, os.Interrupt)
	if err != nil {
		return nil, Postgres{}, err
	}
	p := Postgres{Address: server.Address, User: server.User, Password: server.Password, PID: running.PID()}
	err = waitUntilReady(ctx, running, func(ctx context.Context) error {
		return p.withConnection(ctx, "postgres", func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, "SHOW server_version").Scan(&p.Version)
		})
	})
	if err != nil {
		return nil, Postgres{}, errors.Join(err, running.Stop(startStopTimeout))
	}
	p.Version, _, _ = strings.Cut(p.Version, " ")
	return running, p, nil
}
