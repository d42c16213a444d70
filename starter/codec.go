package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/urfave/cli/v3"

	"sessionkeeper/internal/codecserver"
	"sessionkeeper/internal/connection"
	"sessionkeeper/internal/telemetry"
)

func codecCommand() *cli.Command {
	return &cli.Command{
		Name:  "codec",
		Usage: "decrypt payloads for the Web UI and for clients in other languages",
		Description: "Serves Temporal's remote codec protocol: POST /encode and POST /decode. The keys are those of\n" +
			connection.KeysFileVariable + " or " + connection.KeysVariable + ".\n" +
			"Requests need a token for all orgs of -tokens, as a bearer token, or as the password of Basic\n" +
			"authentication in a browser. Each request is logged.\n\n" +
			"Set the address as the codec endpoint of the Web UI, or with temporal --codec-endpoint.\n\n" +
			"Example:\n   starter codec -tokens operators.yaml -origin https://temporal.example.com",
		Flags: slices.Concat([]cli.Flag{
			&cli.StringFlag{Name: "listen", Usage: "`ADDRESS` of the server", Value: "127.0.0.1:8082"},
			&cli.StringFlag{Name: "tokens", Usage: "`FILE` with the tokens of those who may read", Required: true},
			&cli.StringSliceFlag{Name: "origin", Usage: "`ORIGIN` of a Web UI that may use the server; default none"},
		}, tlsFlags(), logFlags()),
		Action: runCodec,
	}
}

func runCodec(ctx context.Context, c *cli.Command) error {
	if c.Args().Present() {
		return fmt.Errorf("unexpected argument; see %s -help", c.FullName())
	}
	for i, origin := range c.StringSlice("origin") {
		parsed, err := url.Parse(origin)
		if err != nil || parsed.Host == "" || origin != parsed.Scheme+"://"+parsed.Host {
			return fmt.Errorf("-origin: number %d: want a scheme and a host, such as https://temporal.example.com", i+1)
		}
	}
	loaded, err := connection.Load()
	if err != nil {
		return err
	}
	if loaded.Keys == nil {
		return errors.New("want keys: " + connection.KeysFileVariable + " or " + connection.KeysVariable)
	}
	tokens, err := tokens(c)
	if err != nil {
		return err
	}
	logger, err := telemetry.NewLogger(c.Root().ErrWriter, c.String("log-format"), c.String("log-level"))
	if err != nil {
		return err
	}
	return codecserver.Run(ctx, codecserver.Options{
		Listener: listener(c), Tokens: tokens, Origins: c.StringSlice("origin"), Keys: loaded.Keys,
		Logger: telemetry.Slog(logger),
	})
}
