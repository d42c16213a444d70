package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/access"
	"sessionkeeper/internal/receiver"
	"sessionkeeper/internal/telemetry"
	"sessionkeeper/sender"
)

// tokensVariable contains the tokens if there is no file.
const tokensVariable = "SESSIONKEEPER_TOKENS"

// hostName is a DNS name, without a scheme, a port or a wildcard.
var hostName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?$`)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "serve an HTTP API for events",
		Description: "Takes CloudEvents at POST /v1/events, returns the status of a conversation at\n" +
			"GET /v1/conversations/{orgId}/{conversationIdentifier}, and describes itself at /openapi.json.\n" +
			"202 means durable: each event was delivered to its workflow, or is covered by a lease that the\n" +
			"workflow has acknowledged.\n\n" +
			"Requests need one of the bearer tokens whose SHA-256 is in -tokens, or in the environment variable\n" +
			tokensVariable + ". \"starter token new\" makes one. A token speaks for its own orgs only. The file is\n" +
			"read again when it changes. To replace a token, add a new one, switch the clients, remove the old one.\n" +
			"Each token has quotas of its own. They are the flags -max-…, unless the file says otherwise.\n\n" +
			"The audit log has one JSON line per request on standard output. Other logs are on standard error.\n\n" +
			"/healthz, /readyz and /metrics are at -metrics-listen and need no token. SIGTERM and SIGINT stop it\n" +
			"gracefully. The exit status is 1 if a request or a message could not be finished in time.\n\nExamples:\n" +
			"   starter serve -tokens tokens.yaml -tls-cert cert.pem -tls-key key.pem\n" +
			"   starter serve -tokens tokens.yaml -plain-http -metrics-listen :9091\n" +
			"   starter serve -no-auth -listen 127.0.0.1:8080",
		Flags: slices.Concat(tlsFlags(), logFlags(), []cli.Flag{
			&cli.StringFlag{Name: "listen", Usage: "`ADDRESS` for events", Value: ":8080"},
			&cli.StringFlag{
				Name: "metrics-listen", Usage: "`ADDRESS` of /healthz, /readyz and /metrics", Value: "127.0.0.1:9091",
			},
			&cli.StringFlag{Name: "tokens", Usage: "`FILE` with the names, orgs and SHA-256 of the bearer tokens"},
			&cli.BoolFlag{Name: "no-auth", Usage: "accept requests without a token; on a loopback address only"},
			&cli.StringSliceFlag{
				Name: "allowed-origins",
				Usage: "`HOSTS` that may register /v1/events as a webhook (CloudEvents' OPTIONS handshake)," +
					" such as eventgrid.azure.net; * allows all; default none",
			},
			&cli.BoolFlag{Name: "audit", Usage: "write the audit log to standard output", Value: true},
			&cli.DurationFlag{
				Name: "inactivate-after", Value: conversation.DefaultInactivateAfter,
				Usage: "time without a message until a session becomes Inactive, for conversations that begin without" +
					" a started event",
				DefaultText: conversation.Duration(conversation.DefaultInactivateAfter).String(),
			},
			&cli.DurationFlag{
				Name: "window", DefaultText: "half of -inactivate-after",
				Usage: "how long messages are absorbed between two reports, at most inactivateAfter;" +
					" 0 reports every message",
			},
			&cli.DurationFlag{
				Name: "max-window", Value: sender.DefaultMaxWindow,
				DefaultText: conversation.Duration(sender.DefaultMaxWindow).String(),
				Usage:       "longest window, also where a started event has a long inactivateAfter",
			},
			&cli.Int64Flag{Name: "max-body", Usage: "size of a request's body in `BYTES`", Value: receiver.DefaultBody},
			&cli.IntFlag{Name: "max-events", Usage: "events in a batch", Value: receiver.DefaultEvents},
			&cli.IntFlag{
				Name: "max-requests-per-second", Value: receiver.DefaultRequestsPerSecond,
				Usage: "requests per second of a token; beyond that, 429",
			},
			&cli.IntFlag{
				Name: "max-events-per-second", Value: receiver.DefaultEventsPerSecond,
				Usage: "events per second of a token; beyond that, 429",
			},
			&cli.Int64Flag{
				Name: "max-bytes-per-second", Value: receiver.DefaultBytesPerSecond,
				Usage: "`BYTES` per second of the bodies of a token's requests; beyond that, 429",
			},
			&cli.IntFlag{
				Name: "max-requests", Value: receiver.DefaultRequests,
				Usage: "requests of a token that post events at the same time, and as many that read a conversation;" +
					" beyond that, 429",
			},
			&cli.Int64Flag{
				Name: "max-request-bytes", Value: receiver.DefaultRequestBytes,
				Usage: "memory in `BYTES` for the bodies of a token's requests; beyond that, 429",
			},
			&cli.IntFlag{
				Name: "max-conversations", Value: sender.DefaultMaxConversations,
				Usage: "conversations of a token whose messages are absorbed at the same time; beyond that, 429",
			},
			&cli.Int64Flag{
				Name: "max-conversation-bytes", Value: sender.DefaultMaxBytes,
				Usage: "memory in `BYTES` for these conversations; beyond that, 429",
			},
			&cli.DurationFlag{
				Name: "accept-timeout", Value: receiver.DefaultAccept,
				Usage: "how long Temporal may take to accept a request's events; after that, 503",
			},
			&cli.DurationFlag{
				Name: "drain-timeout", Usage: "how long a graceful stop may take", Value: receiver.DefaultDrainTimeout,
			},
		}),
		Action: runServe,
	}
}

func runServe(ctx context.Context, c *cli.Command) error {
	options, err := serveOptions(c)
	if err != nil {
		return err
	}
	temporal, err := connectionOptions(c)
	if err != nil {
		return err
	}
	options.Temporal, options.Keys = temporal.Options, temporal.Keys
	return receiver.Run(ctx, options)
}

func serveOptions(c *cli.Command) (receiver.Options, error) {
	o := receiver.Options{
		Sender: sender.Options{
			TaskQueue: c.String("task-queue"),
			Policy:    conversation.Policy{InactivateAfter: new(conversation.Duration(c.Duration("inactivate-after")))},
			MaxWindow: c.Duration("max-window"),
		},
		Quota: access.Quota{
			RequestsPerSecond: c.Int("max-requests-per-second"), EventsPerSecond: c.Int("max-events-per-second"),
			BytesPerSecond: c.Int64("max-bytes-per-second"),
			Requests:       c.Int("max-requests"), RequestBytes: c.Int64("max-request-bytes"),
			Conversations: c.Int("max-conversations"), ConversationBytes: c.Int64("max-conversation-bytes"),
		},
		Listener:       listener(c),
		MetricsListen:  c.String("metrics-listen"),
		AllowedOrigins: c.StringSlice("allowed-origins"),
		Limits: receiver.Limits{
			Body: c.Int64("max-body"), Events: c.Int("max-events"), Accept: c.Duration("accept-timeout"),
		},
		DrainTimeout: c.Duration("drain-timeout"),
		Version:      version,
	}
	if c.Bool("audit") {
		o.Audit = c.Root().Writer
	}
	if c.IsSet("window") {
		o.Sender.Window = new(conversation.Duration(c.Duration("window")))
	}
	if c.Args().Present() {
		return o, fmt.Errorf("unexpected argument %q", c.Args().First())
	}
	if err := checkServeFlags(c); err != nil {
		return o, err
	}
	var err error
	if o.Tokens, err = tokens(c); err != nil {
		return o, err
	}
	o.Logger, err = telemetry.NewLogger(c.Root().ErrWriter, c.String("log-format"), c.String("log-level"))
	return o, err
}

func checkServeFlags(c *cli.Command) error {
	for _, flag := range []string{
		"max-conversations", "max-events", "max-requests", "max-requests-per-second", "max-events-per-second",
	} {
		if n := c.Int(flag); n < 1 {
			return fmt.Errorf("-%s %d: want at least 1", flag, n)
		}
	}
	for _, flag := range []string{"max-body", "max-bytes-per-second", "max-request-bytes", "max-conversation-bytes"} {
		if n := c.Int64(flag); n < 1 {
			return fmt.Errorf("-%s %d: want at least 1", flag, n)
		}
	}
	for i, origin := range c.StringSlice("allowed-origins") {
		if origin != receiver.AnyOrigin && !hostName.MatchString(origin) {
			return fmt.Errorf("-allowed-origins: number %d: want a host name, such as eventgrid.azure.net, or *", i+1)
		}
	}
	for _, flag := range []string{"accept-timeout", "drain-timeout", "max-window"} {
		if d := c.Duration(flag); d < time.Millisecond {
			return fmt.Errorf("-%s %s: want at least 1ms", flag, d)
		}
	}
	for _, flag := range []string{"window", "inactivate-after"} {
		if d := c.Duration(flag); d < 0 {
			return fmt.Errorf("-%s %s: must not be negative", flag, d)
		}
	}
	return nil
}

// tokens returns the tokens of the file or of the environment, nil with -no-auth.
func tokens(c *cli.Command) (*access.Tokens, error) {
	path, text := c.String("tokens"), os.Getenv(tokensVariable)
	switch {
	case c.Bool("no-auth") && (path != "" || text != ""):
		return nil, fmt.Errorf("want either tokens or -no-auth; tokens come from -tokens and %s", tokensVariable)
	case c.Bool("no-auth"):
		return nil, nil
	case path != "" && text != "":
		return nil, fmt.Errorf("want tokens either from -tokens or from %s", tokensVariable)
	case path != "":
		return access.ReadTokens(path)
	case text != "":
		parsed, err := access.ParseTokens(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tokensVariable, err)
		}
		return parsed, nil
	default:
		return nil, fmt.Errorf("want tokens: -tokens FILE or %s; -no-auth needs none on a loopback address", tokensVariable)
	}
}

// tlsFlags are flags of every command that serves.
func tlsFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "tls-cert", Usage: "PEM `FILE` with the certificate"},
		&cli.StringFlag{Name: "tls-key", Usage: "PEM `FILE` with the certificate's key"},
		&cli.BoolFlag{
			Name: "plain-http", Usage: "listen without TLS on any address: a proxy in front serves TLS",
		},
	}
}

func logFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name: "log-format", Usage: "`json or console`", Value: "json",
			Sources: cli.EnvVars("SESSIONKEEPER_LOG_FORMAT"),
		},
		&cli.StringFlag{
			Name: "log-level", Usage: "`debug, info, warn or error`", Value: "info",
			Sources: cli.EnvVars("SESSIONKEEPER_LOG_LEVEL"),
		},
	}
}

// listener returns where a server listens.
func listener(c *cli.Command) access.Listener {
	return access.Listener{
		Address: c.String("listen"), Certificate: c.String("tls-cert"), Key: c.String("tls-key"),
		PlainHTTP: c.Bool("plain-http"),
	}
}
