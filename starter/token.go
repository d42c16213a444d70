package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/urfave/cli/v3"

	"sessionkeeper/internal/access"
)

func tokenCommand() *cli.Command {
	return &cli.Command{
		Name:        "token",
		Usage:       "make bearer tokens for starter serve",
		Description: "Example:\n   starter token new -name router -org 00D000000000001 -append tokens.yaml",
		Commands: []*cli.Command{{
			Name:  "new",
			Usage: "make a bearer token",
			Description: "Prints the token, and its line for the file -tokens of starter serve. The line has the SHA-256\n" +
				"of the token. The token itself is shown only now: give it to the client. With -append, the line is\n" +
				"added to the file, and only the token is printed.\n\n" +
				"Examples:\n" +
				"   starter token new -name router -org 00D000000000001 -org 00D000000000002\n" +
				"   starter token new -name operations -org all -append tokens.yaml",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "name", Usage: "`NAME` in logs, different for each token", Required: true},
				&cli.StringSliceFlag{
					Name: "org", Usage: "15-character `ID` of an org for which the token may speak, or all", Required: true,
				},
				&cli.StringFlag{Name: "append", Usage: "`FILE` to which the line is added; it is made if it does not exist"},
			},
			OnUsageError: usageError,
			Action:       newToken,
		}},
	}
}

func newToken(_ context.Context, c *cli.Command) error {
	if c.Args().Present() {
		return fmt.Errorf("unexpected argument; see %s -help", c.FullName())
	}
	token, line, err := access.NewToken(c.String("name"), c.StringSlice("org"))
	if err != nil {
		return err
	}
	out := c.Root().Writer
	if path := c.String("append"); path != "" {
		if err := appendToken(path, line); err != nil {
			return err
		}
		fmt.Fprintln(out, token)
		return nil
	}
	fmt.Fprintln(c.Root().ErrWriter, "The token, and its line for the file -tokens:")
	fmt.Fprintf(out, "%s\n%s\n", token, line)
	return nil
}

// appendToken adds a line to a file of tokens, if the file is valid then.
func appendToken(path, line string) error {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("append the token: %w", err)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		line = "\n" + line
	}
	if _, err := access.ParseTokens(string(text) + line); err != nil {
		return fmt.Errorf("append the token to %s: %w", path, err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // it has no secret
	if err != nil {
		return fmt.Errorf("append the token: %w", err)
	}
	_, err = fmt.Fprintln(file, line)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("append the token: %w", err)
	}
	return nil
}
