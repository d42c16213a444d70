// Package postgres prepares a PostgreSQL server of its own for a test or a measurement.
package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"sessionkeeper/local/program"
)

// debianPackage has the programs.
const debianPackage = "postgresql"

// Server is a PostgreSQL server that is ready to start. It listens on 127.0.0.1.
type Server struct {
	// Address is its host:port.
	Address        string
	User, Password string

	program, directory string
	port               int
	owner              *syscall.Credential
}

// Create creates the data of a server in a directory that does not exist yet. The error
// is [exec.ErrNotFound] if PostgreSQL is not installed.
func Create(ctx context.Context, directory string, port int) (Server, error) {
	initdb, err := program.Find("initdb", debianPackage, "/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin")
	if err != nil {
		return Server{}, err
	}
	// Both programs must have the same version.
	server, err := program.Find(filepath.Join(filepath.Dir(initdb), "postgres"), debianPackage)
	if err != nil {
		return Server{}, err
	}
	s := Server{
		Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), User: "sessionkeeper", Password: rand.Text(),
		program: server, directory: directory, port: port,
	}
	if s.owner, err = owner(); err != nil {
		return Server{}, err
	}
	return s, s.createCluster(ctx, initdb)
}

// Command returns the server, ready to start, with settings such as "fsync=on". It runs
// until it is stopped: SIGINT is the fast shutdown, which does not wait for clients.
func (s Server) Command(settings ...string) *exec.Cmd {
	arguments := []string{"-D", s.directory, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-k", s.directory}
	for _, setting := range settings {
		arguments = append(arguments, "-c", setting)
	}
	command := exec.CommandContext(context.Background(), s.program, arguments...) //nolint:gosec // PostgreSQL's path
	command.Dir = s.directory
	command.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	return command
}

// createCluster creates the data directory, which belongs to the server's user.
func (s Server) createCluster(ctx context.Context, initdb string) error {
	if err := os.Mkdir(s.directory, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	passwords := s.directory + ".password"
	if err := os.WriteFile(passwords, []byte(s.Password), 0o600); err != nil {
		return fmt.Errorf("password: %w", err)
	}
	if s.owner != nil {
		for _, path := range []string{s.directory, passwords} {
			if err := os.Chown(path, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
				return fmt.Errorf("give %s to PostgreSQL's user: %w", path, err)
			}
		}
	}
	arguments := []string{
		"--pgdata", s.directory, "--username", s.User, "--pwfile", passwords, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C", "--no-sync",
	}
	command := exec.CommandContext(ctx, initdb, arguments...) //nolint:gosec // initdb is PostgreSQL's path
	command.Dir = s.directory
	command.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, output)
	}
	return nil
}

// owner returns the user who runs the server. PostgreSQL refuses to run as root: then it
// is the user postgres, else nil for the current user.
func owner() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	const name = "postgres"
	account, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and its user %s does not exist: "+
			"install the Debian package %s: %w", name, debianPackage, err)
	}
	uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return nil, fmt.Errorf("user %s: %w", name, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
