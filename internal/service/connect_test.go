package service

import (
	"context"
	"errors"
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

func TestConnectChecksTheNamespace(t *testing.T) {
	const create = "temporal operator search-attribute create --namespace default"
	for name, test := range map[string]struct {
		change func(*frontend)
		want   string // empty: no error
	}{
		"complete": {func(*frontend) {}, ""},
		"other attributes": {
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
		"wrong type": {
			func(f *frontend) { f.attributes["OrgId"] = enumspb.INDEXED_VALUE_TYPE_TEXT },
			`namespace "default" has search attributes of the wrong type, want Keyword: OrgId is Text`,
		},
		"listing is forbidden": {
			func(f *frontend) { f.listError = serviceerror.NewPermissionDenied("no", "") }, "",
		},
		"listing is not implemented": {
			func(f *frontend) { f.listError = serviceerror.NewUnimplemented("no") }, "",
		},
		"no such namespace": {
			func(f *frontend) { f.listError = serviceerror.NewNamespaceNotFound("default") },
			`namespace "default" does not exist, or Temporal cannot reach its database; ` +
				"create a namespace with: temporal operator namespace create --namespace default: " +
				"Namespace default is not found.",
		},
		"listing fails": {
			func(f *frontend) { f.listError = serviceerror.NewInvalidArgument("bad name") },
			`list search attributes of namespace "default": bad name`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFrontend()
			test.change(f)
			f.serve(t, "127.0.0.1:0")
			temporal, err := connect(t.Context(), f.options(), zap.NewNop())
			if test.want != "" {
				require.EqualError(t, err, test.want)
				return
			}
			require.NoError(t, err)
			temporal.Close()
		})
	}
}

// unusedAddress returns a loopback address on which no program listens.
func unusedAddress(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// observedLogger returns a logger that calls a function with each record.
func observedLogger(call func(zapcore.Entry)) (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.InfoLevel)
	return zap.New(core, zap.Hooks(func(e zapcore.Entry) error { call(e); return nil })), logs
}

func TestConnectWaitsForTemporal(t *testing.T) {
	f := newFrontend()
	f.address = unusedAddress(t)
	listening := false
	logger, logs := observedLogger(func(e zapcore.Entry) {
		if e.Message == "Waiting for Temporal" && !listening {
			listening = true
			f.serve(t, f.address)
		}
	})
	temporal, err := connect(t.Context(), f.options(), logger)
	require.NoError(t, err)
	temporal.Close()
	waited := logs.FilterMessage("Waiting for Temporal").All()
	require.NotEmpty(t, waited)
	require.Contains(t, waited[0].ContextMap()["error"], "connect to Temporal at "+f.address)
}

func TestConnectStopsWaitingWhenContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	logger, _ := observedLogger(func(zapcore.Entry) { cancel() })
	_, err := connect(ctx, client.Options{HostPort: unusedAddress(t), Logger: telemetry.ForTemporal(zap.NewNop())}, logger)
	require.ErrorIs(t, err, context.Canceled)
}

func TestUnavailableErrors(t *testing.T) {
	for _, err := range []error{
		serviceerror.NewUnavailable("down"), serviceerror.NewDeadlineExceeded("slow"), context.DeadlineExceeded,
		serviceerror.NewResourceExhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT, "busy"),
	} {
		require.True(t, isUnavailable(err), "%T", err)
	}
	for _, err := range []error{
		serviceerror.NewPermissionDenied("no", ""), serviceerror.NewInvalidArgument("no"), serviceerror.NewNotFound("no"),
		errors.New("no"),
	} {
		require.False(t, isUnavailable(err), "%T", err)
	}
}
