package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/ingest"
	"sessionkeeper/internal/temporaltest"
)

const conversationKey = "00D000000000001:c1"

// starter runs a command line against a server, and returns what it printed.
func starter(t *testing.T, server *temporaltest.Server, args ...string) (string, error) {
	t.Helper()
	t.Setenv("TEMPORAL_CONFIG_FILE", filepath.Join(t.TempDir(), "none.toml"))
	address := "127.0.0.1:1" // nobody listens there
	if server != nil {
		address = server.Addr
	}
	var out bytes.Buffer
	command := app()
	command.Writer, command.ErrWriter = &out, &out
	err := command.Run(t.Context(), append([]string{"starter", "-address", address}, args...))
	return out.String(), err
}

func TestEveryCommandsHelpHasAnExample(t *testing.T) {
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

func TestWrongArgumentsGetOneLine(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(log, nil, 0o600))
	for want, args := range map[string][]string{
		`no command "stop"; see starter -help`:                                {"stop"},
		"flag provided but not defined: -bogus; see starter status -help":     {"status", "-bogus"},
		"flag needs an argument: --by; see starter close -help":               {"close", "--by"},
		"want one argument: <orgId>:<conversationIdentifier>":                 {"status"},
		"want one argument: <orgId>:<conversationIdentifier>, or -blocked":    {"retry"},
		"want either a conversation or -blocked":                              {"retry", "-blocked", conversationKey},
		`workflow id: want "<orgId>:`:                                         {"message", "c1"},
		"close: invalid: by must be EndUser or System":                        {"close", "-by", "Agent", conversationKey},
		`invalid value "now" for flag -at`:                                    {"message", "-at", "now", conversationKey},
		`invalid value "5" for flag -end-after`:                               {"start", "-end-after", "5", conversationKey},
		"policy.endAfter must not be negative":                                {"start", "-end-after=-5s", conversationKey},
		"start: invalid: authorizationContext must be":                        {"start", conversationKey},
		"want one argument: a file, or - for standard input":                  {"ingest"},
		"-speed NaN: want a number":                                           {"ingest", "-speed", "NaN", log},
		"-speed 0: want a number":                                             {"ingest", "-speed", "0", log},
		"-from 0: lines are counted from 1":                                   {"ingest", "-from", "0", log},
		"-concurrency -1: want at least 1":                                    {"ingest", "-concurrency", "-1", log},
		"open the event log: open none: no such file":                         {"ingest", "none"},
		"is the event log itself":                                             {"ingest", "-rejects", log, log},
		"status 00D000000000001:c1: failed reaching server: connection error": {"status", conversationKey},
		"close 00D000000000001:c1: failed reaching server":                    {"close", "-wait", conversationKey},
		`retry blocked: error reason "a b": want`:                             {"retry", "-blocked", "-reason", "a b"},
	} {
		out, err := starter(t, nil, args...)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
		require.NotContains(t, out, "USAGE", "%q: the line would be lost in the help", args)
	}
}

func TestEventsByHand(t *testing.T) {
	server := temporaltest.Start(t)
	out, err := starter(t, server, "message", conversationKey)
	require.ErrorContains(t, err, "no conversation 00D000000000001:c1 runs")
	require.Equal(t, "message 00D000000000001:c1: not tracked\n", out)

	// Single and double dashes, before and behind the argument.
	out, err = starter(t, server, "start", "-authorization-context", "Partner1", "--channel-address=8f5d", conversationKey,
		"--end-user", "visitor-17", "-session", "0Mw000000000001", "-inactivate-after", "5m", "-end-after", "0", "-at", "2026-01-15T09:00:00Z")
	require.NoError(t, err)
	require.Equal(t, "start 00D000000000001:c1: sent\n", out)
	calls := server.Calls()
	require.JSONEq(t, `{"orgId":"00D000000000001","authorizationContext":"Partner1","channelAddressIdentifier":"8f5d",
		"endUserClientId":"visitor-17","conversationIdentifier":"c1","sessionId":"0Mw000000000001",
		"policy":{"inactivateAfter":"5m","endAfter":"0s"},"at":"2026-01-15T09:00:00Z"}`, string(calls[len(calls)-1].Payload))
	require.Equal(t, conversation.DefaultTaskQueue, calls[len(calls)-1].Start.GetTaskQueue().GetName())

	for _, args := range [][]string{
		{"message", conversationKey},
		{"close", "-by", "EndUser", conversationKey},
		{"retry", conversationKey},
	} {
		out, err = starter(t, server, args...)
		require.NoError(t, err)
		require.Equal(t, args[0]+" 00D000000000001:c1: sent\n", out)
	}
	out, err = starter(t, server, "retry", "-blocked", "-org", "00D000000000001")
	require.NoError(t, err)
	require.Equal(t, "1 Blocked conversations told to try again\n", out)
}

func TestCloseWaitPrintsTheOutcome(t *testing.T) {
	server := temporaltest.Start(t)
	_, err := starter(t, server, "close", "-wait", conversationKey)
	require.ErrorContains(t, err, "no such conversation: close 00D000000000001:c1")

	server.Ran(temporaltest.Run{WorkflowID: conversationKey})
	out, err := starter(t, server, "close", "-wait", conversationKey)
	require.NoError(t, err)
	var outcome conversation.Outcome
	require.NoError(t, json.Unmarshal([]byte(out), &outcome))
	require.Equal(t, conversation.Closed, outcome.Why)

	server.Answer(func(string) (conversation.Outcome, error) {
		return conversation.Outcome{}, temporal.NewNonRetryableApplicationError("the channel is inactive", "CHANNEL_ADDRESS_IS_INACTIVE", nil)
	})
	_, err = starter(t, server, "close", "-wait", conversationKey)
	require.ErrorContains(t, err, "the channel is inactive")
	require.ErrorContains(t, err, "starter retry")
}

func TestStatus(t *testing.T) {
	server := temporaltest.Start(t)
	_, err := starter(t, server, "status", conversationKey)
	require.ErrorContains(t, err, "no such conversation: status 00D000000000001:c1")

	status := conversation.Status{
		Phase: conversation.Blocked, OrgID: "00D000000000001", ConversationIdentifier: "c1",
		StartedAt: time.Now().Add(-time.Hour), BlockedUntil: time.Now().Add(time.Hour),
		Blocked: &conversation.Answer{Operation: conversation.End, Reason: "NO_ACCESS", Message: "ask an admin"},
	}
	server.Ran(temporaltest.Run{WorkflowID: conversationKey})
	server.Stands(status)
	out, err := starter(t, server, "status", conversationKey)
	require.NoError(t, err)
	for _, want := range []string{
		"conversation   00D000000000001:c1\n", "phase          Blocked\n", "session        (not known)\n",
		"started        ", "ago)\n", "blocked by     NO_ACCESS: ask an admin\n", "gives up at    ", "(in ",
	} {
		require.Contains(t, out, want)
	}
	require.NotContains(t, out, "last message", "there was none")

	out, err = starter(t, server, "status", conversationKey, "--json")
	require.NoError(t, err)
	var read conversation.Status
	require.NoError(t, json.Unmarshal([]byte(out), &read))
	require.Equal(t, conversation.Blocked, read.Phase)
}

func TestASilentTemporalIsGivenUp(t *testing.T) {
	server := temporaltest.Start(t)
	server.Fail(func(method string) error {
		if method == "GetSystemInfo" {
			return nil
		}
		return serviceerror.NewUnavailable("no worker")
	})
	for _, args := range [][]string{{"status"}, {"message"}, {"close", "-wait"}} {
		_, err := starter(t, server, append(args, "-timeout", "100ms", conversationKey)...)
		require.ErrorContains(t, err, "no answer within 100ms: ")
	}
}

func TestOnlyWaitsHaveNoTimeout(t *testing.T) {
	for _, command := range app().Commands {
		var names []string
		for _, flag := range command.Flags {
			names = append(names, flag.Names()...)
		}
		if command.Name == "ingest" || command.Name == "serve" {
			require.NotContains(t, names, "timeout")
			continue
		}
		require.Contains(t, names, "timeout")
	}
	for want, args := range map[bool][]string{
		true:  {"starter", "x", "-timeout", "1m"},
		false: {"starter", "x", "-wait"},
	} {
		root := &cli.Command{Commands: []*cli.Command{{
			Name: "x", Flags: []cli.Flag{timeoutFlag(), &cli.BoolFlag{Name: "wait"}},
			Action: func(ctx context.Context, c *cli.Command) error {
				ctx, cancel := limited(ctx, c)
				defer cancel()
				_, has := ctx.Deadline()
				require.Equal(t, want, has)
				return nil
			},
		}}}
		require.NoError(t, root.Run(t.Context(), args))
	}
}

func event(conversation string) string {
	return `{"specversion":"1.0","id":"1","source":"/r","type":"sessionkeeper.conversation.message","data":{"orgId":"00D000000000001",` +
		`"authorizationContext":"Partner1","channelAddressIdentifier":"8f5d","endUserClientId":"v","conversationIdentifier":"` + conversation + `"}}`
}

func TestIngestFailsWhenLinesWereRejected(t *testing.T) {
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

func TestIngestAbsorbsMessagesAndReportsTheLast(t *testing.T) {
	server := temporaltest.Start(t)
	log := filepath.Join(t.TempDir(), "events.ndjson")
	require.NoError(t, os.WriteFile(log, []byte(strings.Repeat(event("a")+"\n", 100)), 0o600))

	_, err := starter(t, server, "ingest", "-window", "5m", log)
	require.NoError(t, err)
	calls := server.Calls()
	require.Len(t, calls, 2, "the first and the last")
	require.Contains(t, string(calls[0].Payload), `"duration":"5m"`)
	require.NotContains(t, string(calls[1].Payload), "duration", "no lease is left behind")
}

// What was absorbed and could not be reported has to be sent again.
func TestIngestInVainSaysFromWhereToGoOn(t *testing.T) {
	server := temporaltest.Start(t)
	log := filepath.Join(t.TempDir(), "events.ndjson")
	require.NoError(t, os.WriteFile(log, []byte(strings.Repeat(event("a")+"\n", 10)), 0o600))
	told := false
	server.Fail(func(method string) error {
		if method == "GetSystemInfo" || !told {
			told = told || method != "GetSystemInfo"
			return nil
		}
		return serviceerror.NewInvalidArgument("not any more")
	})
	defer func(whole time.Duration) { flushTimeout = whole }(flushTimeout)
	flushTimeout = time.Second
	_, err := starter(t, server, "ingest", "-window", "5m", "-from", "2", log)
	require.ErrorContains(t, err, "1 conversations left, 1 of them with a message that is not reported")
	require.ErrorContains(t, err, "go on with -from 2")
}

// TestIngestStopsOnASilentPipe runs main itself: a signal is for a process.
func TestIngestStopsOnASilentPipe(t *testing.T) {
	server := temporaltest.Start(t)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer write.Close()
	self, err := os.Executable()
	require.NoError(t, err)
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	require.NoError(t, err)
	defer said.Close()
	process, err := os.StartProcess(self, []string{self}, &os.ProcAttr{
		Env:   append(os.Environ(), "STARTER_ARGS=-address "+server.Addr+" ingest -"),
		Files: []*os.File{read, said, said},
	})
	require.NoError(t, err)
	heard := server.Heard()
	_, err = write.WriteString(event("a") + "\n")
	require.NoError(t, err)
	<-heard
	require.Eventually(t, func() bool { return len(server.Calls()) == 1 }, 30*time.Second, time.Millisecond)
	require.NoError(t, process.Signal(syscall.SIGINT))
	state, err := process.Wait()
	require.NoError(t, err)
	text, err := os.ReadFile(said.Name())
	require.NoError(t, err)
	require.Equal(t, 1, state.ExitCode(), string(text))
	require.Contains(t, string(text), "go on with -from")
}

// TestMain runs the program instead of the tests where the environment says so.
func TestMain(m *testing.M) {
	if args := os.Getenv("STARTER_ARGS"); args != "" {
		os.Args = append([]string{"starter"}, strings.Fields(args)...)
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestALiveLineStaysOnItsLine(t *testing.T) {
	var out bytes.Buffer
	view := &progressView{out: &out, live: true, progress: ingest.NewProgress(), width: func() int { return 12 }}
	view.show(false)
	require.Equal(t, clearLine+"0 events (0", out.String())
	view.say("line %d rejected", 2)
	view.show(true)
	require.True(t, strings.HasSuffix(out.String(), "rejected\n"))
}

func TestPlainLinesComeOnlyWithNews(t *testing.T) {
	var out bytes.Buffer
	view := &progressView{out: &out, progress: ingest.NewProgress()}
	view.show(false)
	view.show(false)
	require.Empty(t, out.String())
	view.show(true)
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
}
