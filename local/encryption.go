package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"sessionkeeper/internal/access"
	"sessionkeeper/internal/codecserver"
	"sessionkeeper/internal/seal"
	"sessionkeeper/local/stack"
)

// encryption encrypts payloads, and lets the Web UI decrypt them with a token.
type encryption struct {
	keys *seal.Keys
	// token is the one that may read.
	token  string
	tokens *access.Tokens
	// address is that of the codec server.
	address string
}

// newEncryption uses keys beside the database file, so that the next run can read it, or
// new ones for a database in memory.
func newEncryption(database string, port int) (*encryption, error) {
	folder, err := os.MkdirTemp("", "sessionkeeper-keys-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "keys.json")
	if database != "" {
		path = database + ".keys.json"
	}
	if _, err := seal.NewFile(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	e := &encryption{address: fmt.Sprintf("127.0.0.1:%d", port)}
	text, err := os.ReadFile(path) //nolint:gosec // the user's own file
	if err != nil {
		return nil, err
	}
	if e.keys, err = seal.ParseKeys(string(text)); err != nil {
		return nil, err
	}
	token, line, err := access.NewToken("local", []string{access.AllOrgs})
	if err != nil {
		return nil, err
	}
	e.token = token
	e.tokens, err = access.ParseTokens(line)
	return e, err
}

// serve runs the codec server until stop is called.
func (e *encryption) serve(ctx context.Context, s *stack.Stack) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- codecserver.Run(ctx, codecserver.Options{
			Listener: access.Listener{Address: e.address}, Tokens: e.tokens, Keys: e.keys,
			Origins: []string{s.UIAddress, strings.Replace(s.UIAddress, "127.0.0.1", "localhost", 1)},
			Logger:  slog.New(slog.DiscardHandler), Started: func(string) { close(started) },
		})
	}()
	stop = func() error {
		cancel()
		return <-ended
	}
	select {
	case <-started:
		return stop, nil
	case err := <-ended:
		cancel()
		return nil, err
	}
}
