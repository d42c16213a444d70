package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/urfave/cli/v3"

	"sessionkeeper/conversation"
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
			"Requests need one of the bearer tokens of -tokens, or of the environment variable\n" +
			tokensVariable + ". The file has one token per line, of at least 16 characters, and is read again when\n" +
			"it changes. To replace a token, add the new one, switch the clients, remove the old one.\n\n" +
			"/healthz, /readyz and /metrics are at -metrics-listen and need no token. SIGTERM and SIGINT stop it\n" +
			"gracefully. The exit status is 1 if a request or a message could not be finished in time.\n\nExamples:\n" +
			"   starter serve -tokens tokens.txt -metrics-listen :9091\n" +
			"   starter serve -no-auth -listen 127.0.0.1:8080",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Usage: "`ADDRESS` for events", Value: ":8080"},
			&cli.StringFlag{
				Name: "metrics-listen", Usage: "`ADDRESS` of /healthz, /readyz and /metrics", Value: "127.0.0.1:9091",
			},
			&cli.StringFlag{Name: "tokens", Usage: "`FILE` with the bearer tokens"},
			&cli.BoolFlag{Name: "no-auth", Usage: "accept requests without a token; on a loopback address only"},
			&cli.StringSliceFlag{
				Name: "allowed-origins",
				Usage: "`HOSTS` that may register /v1/events as a webhook (CloudEvents' OPTIONS handshake)," +
					" such as eventgrid.azure.net; * allows all; default none",
			},
			&cli.StringFlag{Name: "tls-cert", Usage: "PEM `FILE` with the certificate; without it, plain HTTP is used"},
			&cli.StringFlag{Name: "tls-key", Usage: "PEM `FILE` with the certificate's key"},
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
			&cli.IntFlag{
				Name: "max-conversations", Value: sender.DefaultMaxConversations,
				Usage: "conversations whose messages are absorbed at the same time; beyond that, 429",
			},
			&cli.Int64Flag{Name: "max-body", Usage: "size of a request's body in `BYTES`", Value: receiver.DefaultBody},
			&cli.IntFlag{Name: "max-events", Usage: "events in a batch", Value: receiver.DefaultEvents},
			&cli.IntFlag{
				Name: "max-requests", Value: receiver.DefaultRequests,
				Usage: "requests in flight that post events, and as many that read a conversation; beyond that, 429",
			},
			&cli.DurationFlag{
				Name: "accept-timeout", Value: receiver.DefaultAccept,
				Usage: "how long Temporal may take to accept a request's events; after that, 503",
			},
			&cli.DurationFlag{
				Name: "drain-timeout", Usage: "how long a graceful stop may take", Value: receiver.DefaultDrainTimeout,
			},
			&cli.StringFlag{
				Name: "log-format", Usage: "`json or console`", Value: "json",
				Sources: cli.EnvVars("SESSIONKEEPER_LOG_FORMAT"),
			},
			&cli.StringFlag{
				Name: "log-level", Usage: "`debug, info, warn or error`", Value: "info",
				Sources: cli.EnvVars("SESSIONKEEPER_LOG_LEVEL"),
			},
		},
		Action: runServe,
	}
}

func runServe(ctx context.Context, c *cli.Command) error {
	options, err := serveOptions(c)
	if err != nil {
		return err
	}
	if options.Temporal, err = connectionOptions(c); err != nil {
		return err
	}
	return receiver.Run(ctx, options)
}

func serveOptions(c *cli.Command) (receiver.Options, error) {
	o := receiver.Options{
		Sender: sender.Options{
			TaskQueue:        c.String("task-queue"),
			Policy:           conversation.Policy{InactivateAfter: new(conversation.Duration(c.Duration("inactivate-after")))},
			MaxConversations: c.Int("max-conversations"),
		},
		Listen: c.String("listen"), MetricsListen: c.String("metrics-listen"),
		AllowedOrigins: c.StringSlice("allowed-origins"),
		Certificate:    c.String("tls-cert"), Key: c.String("tls-key"),
		Limits: receiver.Limits{
			Body: c.Int64("max-body"), Events: c.Int("max-events"), Requests: c.Int("max-requests"),
			Accept: c.Duration("accept-timeout"),
		},
		DrainTimeout: c.Duration("drain-timeout"),
		Version:      version,
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
	for _, flag := range []string{"max-conversations", "max-events", "max-requests"} {
		if n := c.Int(flag); n < 1 {
			return fmt.Errorf("-%s %d: want at least 1", flag, n)
		}
	}
	if n := c.Int64("max-body"); n < 1 {
		return fmt.Errorf("-max-body %d: want at least 1", n)
	}
	for i, origin := range c.StringSlice("allowed-origins") {
		if origin != receiver.AnyOrigin && !hostName.MatchString(origin) {
			return fmt.Errorf("-allowed-origins: number %d: want a host name, such as eventgrid.azure.net, or *", i+1)
		}
	}
	for _, flag := range []string{"accept-timeout", "drain-timeout"} {
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
func tokens(c *cli.Command) (*receiver.Tokens, error) {
	path, text := c.String("tokens"), os.Getenv(tokensVariable)
	switch {
	case c.Bool("no-auth") && (path != "" || text != ""):
		return nil, fmt.Errorf("want either tokens or -no-auth; tokens come from -tokens and %s", tokensVariable)
	case c.Bool("no-auth"):
		return nil, nil
	case path != "" && text != "":
		return nil, fmt.Errorf("want tokens either from -tokens or from %s", tokensVariable)
	case path != "":
		return receiver.ReadTokens(path)
	case text != "":
		parsed, err := receiver.ParseTokens(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tokensVariable, err)
		}
		return parsed, nil
	default:
		return nil, fmt.Errorf("want tokens: -tokens FILE or %s; -no-auth needs none on a loopback address", tokensVariable)
	}
}
