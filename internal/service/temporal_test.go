package service

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"sessionkeeper/internal/telemetry"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestNamespaceIsChecked(t *testing.T) {
	const create = "temporal operator search-attribute create --namespace default"
	for name, test := range map[string]struct {
		change func(*frontend)
		want   string // empty: it may start
	}{
		"complete": {func(*frontend) {}, ""},
		"further attributes": {
			func(f *frontend) { f.attributes["Other"] = enumspb.INDEXED_VALUE_TYPE_INT }, "",
		},
		"all missing": {
			func(f *frontend) { clear(f.attributes) },
			`namespace "default" lacks search attributes SessionPhase, OrgId, ErrorReason; register them with: ` +
				create + " --name SessionPhase --type Keyword --name OrgId --type Keyword --name ErrorReason --type Keyword",
		},
		"one missing": {
			func(f *frontend) { delete(f.attributes, "OrgId") },
			`namespace "default" lacks search attributes OrgId; register them with: ` + create + " --name OrgId --type Keyword",
		},
		"mistyped": {
			func(f *frontend) { f.attributes["OrgId"] = enumspb.INDEXED_VALUE_TYPE_TEXT },
			`namespace "default" has search attributes of the wrong type, want Keyword: OrgId is Text`,
		},
		"may not be listed": {
			func(f *frontend) { f.listError = serviceerror.NewPermissionDenied("no", "") }, "",
		},
		"cannot be listed": {
			func(f *frontend) { f.listError = serviceerror.NewUnimplemented("no") }, "",
		},
		"no such namespace": {
			func(f *frontend) { f.listError = serviceerror.NewNamespaceNotFound("default") },
			`namespace "default" does not exist; create it with: temporal operator namespace create --namespace default: ` +
				"Namespace default is not found.",
		},
		"refused": {
			func(f *frontend) { f.listError = serviceerror.NewInvalidArgument("bad name") },
			`list search attributes of namespace "default": bad name`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFrontend()
			test.change(f)
			f.serve(t, "127.0.0.1:0")
			temporal, err := dial(t.Context(), f.options(), zap.NewNop())
			if test.want != "" {
				require.EqualError(t, err, test.want)
				return
			}
			require.NoError(t, err)
			temporal.Close()
		})
	}
}

// nobody is a loopback address on which nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// watched is a logger that calls back with each record.
func watched(seen func(zapcore.Entry)) (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.InfoLevel)
	return zap.New(core, zap.Hooks(func(e zapcore.Entry) error { seen(e); return nil })), logs
}

func TestDialWaitsUntilTemporalIsThere(t *testing.T) {
	f := newFrontend()
	f.address = nobody(t)
	up := false
	logger, logs := watched(func(e zapcore.Entry) {
		if e.Message == "Waiting for Temporal" && !up {
			up = true
			f.serve(t, f.address)
		}
	})
	temporal, err := dial(t.Context(), f.options(), logger)
	require.NoError(t, err)
	temporal.Close()
	waited := logs.FilterMessage("Waiting for Temporal").All()
	require.NotEmpty(t, waited)
	require.Contains(t, waited[0].ContextMap()["error"], "connect to Temporal at "+f.address)
}

func TestDialStopsWaitingWhenTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	logger, _ := watched(func(zapcore.Entry) { cancel() })
	_, err := dial(ctx, client.Options{HostPort: nobody(t), Logger: telemetry.ForTemporal(zap.NewNop())}, logger)
	require.ErrorIs(t, err, context.Canceled)
}

func TestWhatIsWorthWaitingFor(t *testing.T) {
	for _, err := range []error{
		serviceerror.NewUnavailable("away"), serviceerror.NewDeadlineExceeded("slow"), context.DeadlineExceeded,
		serviceerror.NewResourceExhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT, "busy"),
	} {
		require.True(t, away(err), "%T", err)
	}
	for _, err := range []error{
		serviceerror.NewPermissionDenied("no", ""), serviceerror.NewInvalidArgument("no"), serviceerror.NewNotFound("no"), errors.New("no"),
	} {
		require.False(t, away(err), "%T", err)
	}
}
