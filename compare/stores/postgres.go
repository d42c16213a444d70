package stores

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"

	"sessionkeeper/compare/process"
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
	owner, err := postgresOwner()
	if err != nil {
		return nil, Postgres{}, err
	}
	const debianPackage = "postgresql"
	directories := []string{"/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin"}
	initdb, err := findProgram("initdb", debianPackage, directories...)
	if err != nil {
		return nil, Postgres{}, err
	}
	// Both programs must have the same version.
	server, err := findProgram(filepath.Join(filepath.Dir(initdb), "postgres"), debianPackage)
	if err != nil {
		return nil, Postgres{}, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, Postgres{}, err
	}
	p := Postgres{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), User: "compare", Password: rand.Text()}
	if err := createCluster(ctx, initdb, directory, p, owner); err != nil {
		return nil, Postgres{}, err
	}

	arguments := []string{"-D", directory, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", directory}
	for _, setting := range PostgresSettings {
		arguments = append(arguments, "-c", setting)
	}
	// The server runs until Stop, not until ctx ends.
	ctxOfServer := context.WithoutCancel(ctx)
	command := exec.CommandContext(ctxOfServer, server, arguments...) //nolint:gosec // server is PostgreSQL's path
	command.Dir = directory
	command.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	// SIGINT is PostgreSQL's fast shutdown: it does not wait for its clients.
	running, err := process.Start(command, os.Interrupt)
	if err != nil {
		return nil, Postgres{}, err
	}
	p.PID = running.PID()
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

// createCluster creates the data directory, which belongs to the server's user.
func createCluster(ctx context.Context, initdb, directory string, p Postgres, owner *syscall.Credential) error {
	if err := os.Mkdir(directory, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	passwords := directory + ".password"
	if err := os.WriteFile(passwords, []byte(p.Password), 0o600); err != nil {
		return fmt.Errorf("password: %w", err)
	}
	if owner != nil {
		for _, path := range []string{directory, passwords} {
			if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
				return fmt.Errorf("give %s to PostgreSQL's user: %w", path, err)
			}
		}
	}
	arguments := []string{
		"--pgdata", directory, "--username", p.User, "--pwfile", passwords, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C", "--no-sync",
	}
	command := exec.CommandContext(ctx, initdb, arguments...) //nolint:gosec // initdb is PostgreSQL's path
	command.Dir = directory
	command.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, output)
	}
	return nil
}

// postgresOwner returns the user who runs the server. PostgreSQL refuses to run
// as root: then it is the user postgres, else nil for the current user.
func postgresOwner() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	const name = "postgres"
	account, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and its user %s does not exist: "+
			"install the Debian package postgresql: %w", name, err)
	}
	uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
