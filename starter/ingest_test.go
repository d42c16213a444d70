package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"sessionkeeper/internal/temporaltest"
)

func event(conversation string) string {
	return `{"specversion":"1.0","id":"1","source":"/r","type":"sessionkeeper.conversation.message",` +
		`"data":{"orgId":"00D000000000001","authorizationContext":"Partner1","channelAddressIdentifier":"8f5d",` +
		`"endUserClientId":"v","conversationIdentifier":"` + conversation + `"}}`
}

func TestIngestFailsWhenLinesAreRejected(t *testing.T) {
	server := temporaltest.Start(t)
	dir := t.TempDir()
	log, rejects := filepath.Join(dir, "events.ndjson"), filepath.Join(dir, "rejects.ndjson")
	require.NoError(t, os.WriteFile(log, []byte(event("a")+"\nbad\n"+event("b")), 0o600))

	_, err := starter(t, server, "ingest", "-rejects", rejects, log)
	require.EqualError(t, err, "rejected lines: 1")
	kept, err := os.ReadFile(rejects)
	require.NoError(t, err)
	require.Equal(t, "bad\n", string(kept))
	require.Len(t, server.Calls(), 2)
	_, err = starter(t, server, "ingest", "-from", "3", log)
	require.NoError(t, err)
}

func TestIngestWithWindowReportsLastMessage(t *testing.T) {
	server := temporaltest.Start(t)
	log := filepath.Join(t.TempDir(), "events.ndjson")
	require.NoError(t, os.WriteFile(log, []byte(strings.Repeat(event("a")+"\n", 100)), 0o600))

	_, err := starter(t, server, "ingest", "-window", "5m", log)
	require.NoError(t, err)
	calls := server.Calls()
	require.Len(t, calls, 2, "the first and the last")
	require.Contains(t, string(calls[0].Payload), `"duration":"5m"`)
	require.NotContains(t, string(calls[1].Payload), "duration", "the lease is released")
}

// Absorbed messages that could not be reported must be sent again.
func TestIngestWithUnreportedMessagesNamesNextLine(t *testing.T) {
	server := temporaltest.Start(t)
	log := filepath.Join(t.TempDir(), "events.ndjson")
	require.NoError(t, os.WriteFile(log, []byte(strings.Repeat(event("a")+"\n", 10)), 0o600))
	called := false
	server.Fail(func(method string) error {
		if method == "GetSystemInfo" || !called {
			called = called || method != "GetSystemInfo"
			return nil
		}
		return serviceerror.NewInvalidArgument("rejected")
	})
	defer func(before time.Duration) { flushTimeout = before }(flushTimeout)
	flushTimeout = time.Second
	_, err := starter(t, server, "ingest", "-window", "5m", "-from", "2", log)
	require.ErrorContains(t, err, "1 conversations left, 1 of them with an unreported message")
	require.ErrorContains(t, err, "continue with -from 2")
}

// TestInterruptStopsIngestOfIdlePipe runs main, because a signal goes to a process.
func TestInterruptStopsIngestOfIdlePipe(t *testing.T) {
	server := temporaltest.Start(t)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer write.Close()
	self, err := os.Executable()
	require.NoError(t, err)
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	require.NoError(t, err)
	defer output.Close()
	process, err := os.StartProcess(self, []string{self}, &os.ProcAttr{
		Env:   append(os.Environ(), "STARTER_ARGS=-address "+server.Addr+" ingest -"),
		Files: []*os.File{read, output, output},
	})
	require.NoError(t, err)
	called := server.NextCall()
	_, err = write.WriteString(event("a") + "\n")
	require.NoError(t, err)
	<-called
	require.Eventually(t, func() bool { return len(server.Calls()) == 1 }, 30*time.Second, time.Millisecond)
	require.NoError(t, process.Signal(syscall.SIGINT))
	state, err := process.Wait()
	require.NoError(t, err)
	text, err := os.ReadFile(output.Name())
	require.NoError(t, err)
	require.Equal(t, 1, state.ExitCode(), string(text))
	require.Contains(t, string(text), "continue with -from")
}
