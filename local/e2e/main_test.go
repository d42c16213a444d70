// Package e2e_test tests the whole product on a real Temporal server: sender,
// workflows, worker and activities, with the sandbox in Salesforce's place.
package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sessionkeeper/local/stack"
)

func TestMain(m *testing.M) {
	if input := os.Getenv(burstEnv); input != "" {
		fmt.Fprintln(os.Stderr, sendBurst(input))
		os.Exit(1)
	}
	flag.Parse()
	// These tests wait more than they work.
	if err := flag.Set("test.parallel", "12"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var err error
	if directory, err = os.MkdirTemp("", "sessionkeeper-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if s, err := shared(); err == nil {
		s.Stop()
	}
	_ = os.RemoveAll(directory)
	os.Exit(code)
}

// directory is where the programs are built.
var directory string

// shared is the stack of all tests that leave the worker and the token endpoint
// alone.
var shared = sync.OnceValues(func() (*stack.Stack, error) {
	return stack.Start(context.Background(), stack.Options{})
})

func sharedStack(t *testing.T) *stack.Stack {
	t.Helper()
	s, err := shared()
	require.NoError(t, err)
	return s
}

// ownStack is a stack of one test, stopped at its end.
func ownStack(t *testing.T, o stack.Options) *stack.Stack {
	t.Helper()
	s, err := stack.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return s
}
