// Command sandbox serves a simulator of Salesforce's Interaction Service and its
// token endpoint. README.md in this folder describes it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"sessionkeeper/sandbox/simulator"
)

const description = `It serves the token endpoint, POST /api/v1/conversation and
POST /api/v1/messagingSession as Salesforce would. The control API under
/_sandbox/ injects faults, changes sessions and returns the journal.

Without --config it simulates one demo org with a new private key. The worker
needs that key: --key-out writes it to a file.

Example:
   go run ./sandbox --key-out /tmp/sandbox-key.pem
   curl -X POST localhost:8787/_sandbox/faults \
     -d '{"operation":"End","times":2,"answer":{"errorReason":"INTERNAL_ERROR"}}'
   curl localhost:8787/_sandbox/journal`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := command(os.Stdout).Run(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

func command(out io.Writer) *cli.Command {
	return &cli.Command{
		Name:        "sandbox",
		Usage:       "simulate Salesforce's Interaction Service",
		Description: description,
		Writer:      out,
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: "listen", Value: "127.0.0.1:8787", Usage: "`ADDRESS` to listen on; port 0 chooses a free port",
			},
			&cli.StringFlag{Name: "config", Usage: "YAML or JSON `FILE` with the orgs and the behaviour"},
			&cli.StringFlag{Name: "key-out", Usage: "`FILE` to write the demo org's private key to"},
			&cli.BoolFlag{Name: "adopt-unknown", Usage: "treat unknown sessions as existing and Active"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return fmt.Errorf("unexpected argument %q", cmd.Args().First())
			}
			config, err := readConfig(cmd.String("config"), cmd.String("key-out"))
			if err != nil {
				return err
			}
			config.Behaviour.AdoptUnknown = config.Behaviour.AdoptUnknown || cmd.Bool("adopt-unknown")
			return serve(ctx, out, cmd.String("listen"), cmd.String("key-out"), config)
		},
	}
}

// readConfig reads the configuration file. Without a file it returns the
// configuration of the demo org.
func readConfig(file, keyOut string) (simulator.Config, error) {
	if file == "" {
		return demoConfig(keyOut)
	}
	if keyOut != "" {
		return simulator.Config{}, errors.New("--key-out: cannot be combined with --config, which configures the keys")
	}
	f, err := os.Open(file) //nolint:gosec // the user names the file
	if err != nil {
		return simulator.Config{}, fmt.Errorf("--config: %w", err)
	}
	defer f.Close()
	config, err := simulator.ReadConfig(f)
	if err != nil {
		return simulator.Config{}, fmt.Errorf("--config %s: %w", file, err)
	}
	return config, nil
}

func demoConfig(keyOut string) (simulator.Config, error) {
	org, key, err := simulator.DemoOrg()
	if err != nil {
		return simulator.Config{}, err
	}
	if keyOut != "" {
		if err := os.WriteFile(keyOut, key, 0o600); err != nil {
			return simulator.Config{}, fmt.Errorf("--key-out: %w", err)
		}
	}
	return simulator.Config{Orgs: []simulator.Org{org}}, nil
}

// serve answers requests until ctx ends, then waits for requests in flight.
func serve(ctx context.Context, out io.Writer, address, keyOut string, config simulator.Config) error {
	handler, err := simulator.New(config)
	if err != nil {
		return err
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		// Longer than the latency of any fault. There is no ReadTimeout, because
		// it would also end requests that a fault delays. The simulator sets a
		// deadline for reading each body.
		WriteTimeout:   simulator.MaxLatency + time.Minute,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 32 << 10,
	}
	if err := printSettings(out, "http://"+listener.Addr().String(), keyOut, config.Orgs); err != nil {
		return errors.Join(err, listener.Close())
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", address, err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		// A fault delays the remaining requests for longer.
		return server.Close()
	}
	return nil
}

// printSettings prints what a worker needs to use the sandbox.
func printSettings(out io.Writer, url, keyOut string, orgs []simulator.Org) error {
	var text strings.Builder
	line := func(name string, value any) { fmt.Fprintf(&text, "%-15s %v\n", name, value) }
	line("API base URL", url)
	line("login URL", url)
	line("token URL", url+"/services/oauth2/token")
	line("journal", url+"/_sandbox/journal")
	for _, o := range orgs {
		text.WriteString("\n")
		line("org", o.OrgID)
		line("consumer key", o.ConsumerKey)
		line("user name", o.Username)
		line("channel defs", strings.Join(o.ChannelDefinitions, ", "))
		line("channels", channelText(o))
		if keyOut != "" {
			line("private key", keyOut)
		}
		line("audience", audienceText(o))
	}
	if _, err := io.WriteString(out, text.String()); err != nil {
		return fmt.Errorf("print settings: %w", err)
	}
	return nil
}

func audienceText(o simulator.Org) string {
	if len(o.Audiences) == 0 {
		return "https://login.salesforce.com or https://test.salesforce.com"
	}
	return strings.Join(o.Audiences, " or ")
}

func channelText(o simulator.Org) string {
	var names []string
	for _, a := range o.ChannelAddresses {
		if a.Inactive {
			a.ID += " (inactive)"
		}
		names = append(names, a.ID)
	}
	return strings.Join(names, ", ")
}
