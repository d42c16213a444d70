package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/temporaltest"
)

const workflowID = "00D000000000001:c1"

// starter runs a command line against a server and returns the output.
func starter(t *testing.T, server *temporaltest.Server, args ...string) (string, error) {
	t.Helper()
	return starterWith(t.Context(), t, server, args...)
}

// starterWith runs the program until ctx ends.
func starterWith(ctx context.Context, t *testing.T, server *temporaltest.Server, args ...string) (string, error) {
	t.Helper()
	t.Setenv("TEMPORAL_CONFIG_FILE", "")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	address := "127.0.0.1:1" // no server listens there
	if server != nil {
		address = server.Addr
	}
	var out bytes.Buffer
	command := app()
	command.Writer, command.ErrWriter = &out, &out
	err := command.Run(ctx, append([]string{"starter", "-address", address}, args...))
	return out.String(), err
}

// TestMain runs the program instead of the tests if STARTER_ARGS is set.
func TestMain(m *testing.M) {
	if args := os.Getenv("STARTER_ARGS"); args != "" {
		os.Args = append([]string{"starter"}, strings.Fields(args)...)
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestHelpOfEveryCommandHasExample(t *testing.T) {
	for _, command := range app().Commands {
		if command.Name == "help" {
			continue
		}
		for _, flag := range []string{"-help", "--help", "-h"} {
			out, err := starter(t, nil, command.Name, flag)
			require.NoError(t, err)
			require.Contains(t, out, "Example")
			require.Contains(t, out, "starter "+command.Name+" ")
		}
	}
	out, err := starter(t, nil)
	require.NoError(t, err)
	require.Contains(t, out, "Example:\n      starter status")
}

func TestInvalidArgumentsGetOneLine(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(log, nil, 0o600))
	for want, args := range map[string][]string{
		`no command "stop"; see starter -help`:                                {"stop"},
		"flag provided but not defined: -bogus; see starter status -help":     {"status", "-bogus"},
		"flag needs an argument: --by; see starter close -help":               {"close", "--by"},
		"want one argument: <orgId>:<conversationIdentifier>":                 {"status"},
		"want one argument: <orgId>:<conversationIdentifier>, or -blocked":    {"retry"},
		"-rate NaN: want a number":                                            {"retry", "-blocked", "-rate", "NaN"},
		"-org: want the 15-character form":                                    {"retry", "-blocked", "-org", "x' OR 'a' = 'a"},
		"want either a conversation or -blocked":                              {"retry", "-blocked", workflowID},
		`workflow id: want "<orgId>:`:                                         {"message", "c1"},
		"close: invalid: by must be EndUser or System":                        {"close", "-by", "Agent", workflowID},
		`invalid value "now" for flag -at`:                                    {"message", "-at", "now", workflowID},
		`invalid value "5" for flag -end-after`:                               {"start", "-end-after", "5", workflowID},
		"policy.endAfter must not be negative":                                {"start", "-end-after=-5s", workflowID},
		"start: invalid: authorizationContext must be":                        {"start", workflowID},
		"want one argument: a file, or - for standard input":                  {"ingest"},
		"-speed NaN: want a number":                                           {"ingest", "-speed", "NaN", log},
		"-speed 0: want a number":                                             {"ingest", "-speed", "0", log},
		"-from 0: lines are counted from 1":                                   {"ingest", "-from", "0", log},
		"-concurrency 1025: want 1 to 1024":                                   {"ingest", "-concurrency", "1025", log},
		"-concurrency -1: want 1 to 1024":                                     {"ingest", "-concurrency", "-1", log},
		"open the event log: open none: no such file":                         {"ingest", "none"},
		"want another file than the event log":                                {"ingest", "-rejects", log, log},
		"status 00D000000000001:c1: failed reaching server: connection error": {"status", workflowID},
		"close 00D000000000001:c1: failed reaching server":                    {"close", "-wait", workflowID},
		`-reason: want letters, digits and _`:                                 {"retry", "-blocked", "-reason", "a b"},
	} {
		out, err := starter(t, nil, args...)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
		require.NotContains(t, out, "USAGE", "%q: the help would hide the error", args)
	}
}

func TestCommandsSendSignals(t *testing.T) {
	server := temporaltest.Start(t)
	out, err := starter(t, server, "message", workflowID)
	require.ErrorContains(t, err, "conversation 00D000000000001:c1 does not run")
	require.Equal(t, "message 00D000000000001:c1: not tracked\n", out)

	// Flags may have one or two dashes, before or after the argument.
	out, err = starter(t, server, "start", "-authorization-context", "Partner1", "--channel-address=8f5d", workflowID,
		"--end-user", "visitor-17", "-session", "0Mw000000000001", "-inactivate-after", "5m", "-end-after", "0",
		"-at", "2026-01-15T09:00:00Z")
	require.NoError(t, err)
	require.Equal(t, "start 00D000000000001:c1: sent\n", out)
	calls := server.Calls()
	require.JSONEq(t, `{"orgId":"00D000000000001","authorizationContext":"Partner1","channelAddressIdentifier":"8f5d",
		"endUserClientId":"visitor-17","conversationIdentifier":"c1","sessionId":"0Mw000000000001",
		"policy":{"inactivateAfter":"5m","endAfter":"0s"},"at":"2026-01-15T09:00:00Z"}`, string(calls[len(calls)-1].Payload))
	require.Equal(t, conversation.DefaultTaskQueue, calls[len(calls)-1].Start.GetTaskQueue().GetName())

	for _, args := range [][]string{
		{"message", workflowID},
		{"close", "-by", "EndUser", workflowID},
		{"retry", workflowID},
	} {
		out, err = starter(t, server, args...)
		require.NoError(t, err)
		require.Equal(t, args[0]+" 00D000000000001:c1: sent\n", out)
	}
	out, err = starter(t, server, "retry", "-blocked", "-org", "00D000000000001")
	require.NoError(t, err)
	require.Regexp(t, `^1 Blocked conversations match\.\nTemporal retries them as job \S+, at most 50 per second\.\n`+
		`1 of 1 done\n1 retried, 0 had ended in the meantime or failed\.\n$`, out)
}

// Any number of Blocked conversations is retried by one command. If it is interrupted,
// it says that Temporal goes on, and the count can be seen again.
func TestRetryBlocked(t *testing.T) {
	server := temporaltest.Start(t)
	for i := range 3000 {
		server.SetLastRun(temporaltest.Run{WorkflowID: fmt.Sprintf("00D000000000001:c%d", i)})
	}
	out, err := starter(t, server, "retry", "-blocked", "-count", "-reason", "NO_ACCESS")
	require.NoError(t, err)
	require.Equal(t, "3000 Blocked conversations match.\n", out)
	const query = "WorkflowType = 'Conversation' AND ExecutionStatus = 'Running' AND SessionPhase = 'Blocked'" +
		" AND ErrorReason = 'NO_ACCESS'"
	require.Equal(t, query, server.Calls()[0].Name)
	require.Len(t, server.Calls(), 1, "it only counts")

	ctx, interrupt := context.WithCancel(t.Context())
	server.Fail(func(method string) error {
		if method == "DescribeBatchOperation" {
			interrupt()
		}
		return nil
	})
	out, err = starterWith(ctx, t, server, "retry", "-blocked", "-rate", "20", "-reason", "NO_ACCESS")
	require.ErrorIs(t, err, context.Canceled)
	started := server.Calls()[2]
	require.Equal(t, temporaltest.Call{
		Method: "StartBatchOperation", WorkflowID: query, Name: conversation.SignalRetry,
	}, started)
	require.Contains(t, out, "at most 20 per second")
	require.Contains(t, out, "Interrupted. If the job has begun, Temporal goes on with it.")
	require.Regexp(t, "temporal batch describe --namespace default --job-id [0-9a-f-]{36}\n", out)
	require.Contains(t, out, "the same command with -count")
}

// A namespace runs one batch operation at a time, unless it is configured otherwise.
func TestRetryBlockedWaitsForAnotherBatchOperation(t *testing.T) {
	server := temporaltest.Start(t)
	server.SetLastRun(temporaltest.Run{WorkflowID: "00D000000000001:c1"})
	refused := 0
	server.Fail(func(method string) error {
		if method != "StartBatchOperation" || refused == 2 {
			return nil
		}
		refused++
		return &serviceerror.ResourceExhausted{
			Cause: enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT, Message: "Max concurrent batch operations is reached",
		}
	})
	out, err := starter(t, server, "retry", "-blocked")
	require.NoError(t, err)
	require.Equal(t, 2, refused)
	require.Equal(t, 1, strings.Count(out, "Another batch operation runs in this namespace."))
	require.Contains(t, out, "1 retried, 0 had ended in the meantime or failed.\n")
}

// An interrupted request for the job may have reached Temporal.
func TestRetryBlockedInterruptedWhileItStarts(t *testing.T) {
	server := temporaltest.Start(t)
	server.SetLastRun(temporaltest.Run{WorkflowID: "00D000000000001:c1"})
	ctx, interrupt := context.WithCancel(t.Context())
	server.Fail(func(method string) error {
		if method == "StartBatchOperation" {
			interrupt()
		}
		return nil
	})
	out, err := starterWith(ctx, t, server, "retry", "-blocked")
	require.Error(t, err)
	require.Regexp(t, "temporal batch terminate --namespace default --job-id [0-9a-f-]{36} ", out)
}
