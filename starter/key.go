package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"

	"sessionkeeper/internal/seal"
)

func keyCommand() *cli.Command {
	subcommand := func(name, usage, arguments string, action cli.ActionFunc) *cli.Command {
		return &cli.Command{
			Name: name, Usage: usage, ArgsUsage: arguments, OnUsageError: usageError, Action: action,
			Description: "Example:\n   starter key " + name + " " +
				strings.NewReplacer("FILE", "keys.json", "ID", "1234567890").Replace(arguments),
		}
	}
	return &cli.Command{
		Name:  "key",
		Usage: "make and rotate the keys that encrypt payloads",
		Description: "The file has a keyset of Tink. It is a secret: give it to the workers and the starters only.\n\n" +
			"To rotate: add a key, and give the file to every process. Promote the key, and give the file to every\n" +
			"process again. Remove the old key when no history that it has encrypted is retained any more.\n\n" +
			"Example:\n   starter key new keys.json",
		Commands: []*cli.Command{
			subcommand("new", "make a file with one key", "FILE", newKeyFile),
			subcommand("list", "list the keys of a file", "FILE", listKeys),
			subcommand("add", "add a key that decrypts, but does not encrypt yet", "FILE", addKey),
			subcommand("promote", "encrypt with a key from now on", "FILE ID", changeKey("promoted", seal.Promote)),
			subcommand("remove", "remove a key; what it has encrypted cannot be read any more", "FILE ID",
				changeKey("removed", seal.Remove)),
		},
	}
}

// fileArgument returns the only argument of a command.
func fileArgument(c *cli.Command) (string, error) {
	if c.Args().Len() != 1 {
		return "", errors.New("want one argument: the file of the keys")
	}
	return c.Args().First(), nil
}

func newKeyFile(_ context.Context, c *cli.Command) error {
	path, err := fileArgument(c)
	if err != nil {
		return err
	}
	key, err := seal.NewFile(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Root().Writer, "%s has key %d, which encrypts\n", path, key.ID)
	return nil
}

func listKeys(_ context.Context, c *cli.Command) error {
	path, err := fileArgument(c)
	if err != nil {
		return err
	}
	keys, err := seal.List(path)
	for _, key := range keys {
		what := "decrypts"
		if key.Primary {
			what = "encrypts and decrypts"
		}
		fmt.Fprintf(c.Root().Writer, "%d %s\n", key.ID, what)
	}
	return err
}

func addKey(_ context.Context, c *cli.Command) error {
	path, err := fileArgument(c)
	if err != nil {
		return err
	}
	id, err := seal.Add(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Root().Writer, "key %d added; when every process has the file, run: starter key promote %s %[1]d\n",
		id, path)
	return nil
}

// changeKey returns the action of a command that changes one key of a file.
func changeKey(done string, change func(path string, id uint32) error) cli.ActionFunc {
	return func(_ context.Context, c *cli.Command) error {
		if c.Args().Len() != 2 {
			return errors.New("want two arguments: the file of the keys, and the id of a key")
		}
		id, err := strconv.ParseUint(c.Args().Get(1), 10, 32)
		if err != nil {
			return errors.New("want the id of a key: see starter key list")
		}
		if err := change(c.Args().First(), uint32(id)); err != nil {
			return err
		}
		fmt.Fprintf(c.Root().Writer, "key %d %s\n", id, done)
		return nil
	}
}
