package main

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"
	"go.temporal.io/api/serviceerror"

	"sessionkeeper/internal/temporaltest"
)

func TestTimeoutEndsWaitForTemporal(t *testing.T) {
	server := temporaltest.Start(t)
	server.Fail(func(method string) error {
		if method == "GetSystemInfo" {
			return nil
		}
		return serviceerror.NewUnavailable("no worker")
	})
	for _, args := range [][]string{{"status"}, {"message"}, {"close", "-wait"}} {
		_, err := starter(t, server, append(args, "-timeout", "100ms", workflowID)...)
		require.ErrorContains(t, err, "no answer within 100ms: ")
	}
}

func TestOnlyWaitHasNoTimeoutByDefault(t *testing.T) {
	for _, command := range app().Commands {
		var names []string
		for _, flag := range command.Flags {
			names = append(names, flag.Names()...)
		}
		if slices.Contains([]string{"ingest", "serve", "codec", "token", "key", "orgs"}, command.Name) {
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
				ctx, cancel := applyTimeout(ctx, c)
				defer cancel()
				_, ok := ctx.Deadline()
				require.Equal(t, want, ok)
				return nil
			},
		}}}
		require.NoError(t, root.Run(t.Context(), args))
	}
}
