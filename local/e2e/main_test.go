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

	"sessionkeeper/local/internal/testlog"
	"sessionkeeper/local/stack"
)

func TestMain(m *testing.M) {
	if input := os.Getenv(senderEnv); input != "" {
		fmt.Fprintln(os.Stderr, sendUntilKilled(input))
		os.Exit(1)
	}
	flag.Parse()
	// These tests wait most of the time, so more of them run at once than there are
	// cores.
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

// sharedTail has the last lines of the shared stack's log.
var sharedTail testlog.Tail

// shared starts the stack of all tests that change neither the worker nor the
// token endpoint.
var shared = sync.OnceValues(func() (*stack.Stack, error) {
	return stack.Start(context.Background(), stack.Options{ServerLogger: sharedTail.Logger()})
})

func sharedStack(t *testing.T) *stack.Stack {
	t.Helper()
	s, err := shared()
	require.NoError(t, err)
	sharedTail.ShowOnFailure(t)
	return s
}

// ownStack starts a stack for one test and stops it at the test's end.
func ownStack(t *testing.T, o stack.Options) *stack.Stack {
	t.Helper()
	var tail testlog.Tail
	o.ServerLogger = tail.Logger()
	s, err := stack.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	tail.ShowOnFailure(t)
	return s
}
