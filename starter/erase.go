package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/erasure"
	"sessionkeeper/sender"
)

// What -running may say.
const (
	runningRefuse    = "refuse"
	runningClose     = "close"
	runningTerminate = "terminate"
)

const notErased = "Not erased: backups and archives of Temporal's database, logs, and what Salesforce and the\n" +
	"routing system store. Temporal keeps the input of a repeated start, by default for 60 days. The\n" +
	"database may keep deleted bytes until it is vacuumed.\n"

func eraseCommand() *cli.Command {
	return &cli.Command{
		Name:      "erase",
		Usage:     "delete what Temporal stores of conversations",
		ArgsUsage: "[" + workflowIDArgument + " ...]",
		Description: "Deletes all runs of the conversations: their states, histories and list entries. The ids are\n" +
			"arguments, or lines of -file. Only the routing system knows which conversations are a person's.\n" +
			"Temporal deletes in the background. This may take minutes. The command waits until Temporal does\n" +
			"not know the conversations any more. Do not run it twice at once for the same conversation.\n\n" +
			notErased + "\n" +
			"Examples:\n   starter erase 00D000000000001:6f1c2a9e\n   starter erase -running close -file ids.txt",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "file", Usage: "`FILE` with one id on each line; - is the standard input"},
			&cli.StringFlag{
				Name: "running", Value: runningRefuse,
				Usage: "what to do with a conversation that runs: `refuse`, close (End its session first), or terminate\n" +
					"(the session stays open in Salesforce)",
			},
			&cli.DurationFlag{Name: "timeout", Usage: "how long to wait for Temporal in all", Value: time.Hour},
		},
		Action: runErase,
	}
}

func runErase(ctx context.Context, c *cli.Command) error {
	ids, err := conversationsToErase(c)
	if err != nil {
		return err
	}
	temporal, options, err := connect(c)
	if err != nil {
		return err
	}
	defer temporal.Close()
	var end func(context.Context, conversation.Identity) error
	switch c.String("running") {
	case runningRefuse:
	case runningClose:
		s := sender.New(temporal, sender.Options{ //nolint:contextcheck // it absorbs nothing here
			TaskQueue: c.String("task-queue"), DataConverter: options.DataConverter,
		})
		end = func(ctx context.Context, id conversation.Identity) error {
			_, err := s.CloseAndWait(ctx, id, conversation.Close{By: conversation.System})
			return err
		}
	case runningTerminate:
		end = func(ctx context.Context, id conversation.Identity) error {
			return temporal.TerminateWorkflow(ctx, id.WorkflowID(), "", "to be erased")
		}
	default:
		return fmt.Errorf("-running: want %s, %s or %s", runningRefuse, runningClose, runningTerminate)
	}
	all := make([]*erasure.Conversation, len(ids))
	for i, id := range ids {
		all[i] = &erasure.Conversation{Temporal: temporal, Namespace: options.Namespace, ID: id, End: end}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Duration("timeout"))
	defer cancel()
	return eraseAll(ctx, c, all)
}

// eraseAll asks for all deletions before it waits for the first, because each takes as
// long as all of them.
func eraseAll(ctx context.Context, c *cli.Command, all []*erasure.Conversation) error {
	begun := make([]error, len(all))
	for i, erasing := range all {
		begun[i] = erasing.Begin(ctx)
	}
	failed := 0
	for i, erasing := range all {
		runs, err := erasing.Wait(ctx)
		if err = cmp.Or(begun[i], err); err != nil {
			failed++
			if errors.Is(err, erasure.ErrRuns) {
				err = fmt.Errorf("%w; see -running", err)
			}
			fmt.Fprintf(c.Root().ErrWriter, "starter: erase %s: %v\n", erasing.ID.WorkflowID(), err)
			continue
		}
		if runs == 0 {
			fmt.Fprintf(c.Root().Writer, "erase %s: nothing was stored\n", erasing.ID.WorkflowID())
			continue
		}
		fmt.Fprintf(c.Root().Writer, "erase %s: %d runs deleted\n", erasing.ID.WorkflowID(), runs)
	}
	fmt.Fprint(c.Root().ErrWriter, notErased)
	if failed > 0 {
		return fmt.Errorf("%d of %d conversations are not erased", failed, len(all))
	}
	return nil
}

// maxErased is how many conversations one command erases.
const maxErased = 100_000

// conversationsToErase are the ids of the arguments and of -file, each once.
func conversationsToErase(c *cli.Command) (ids []conversation.Identity, err error) {
	known := map[string]bool{}
	add := func(where, text string) error {
		id, err := conversation.ParseWorkflowID(text)
		switch {
		case text != strings.TrimSpace(text): // an identifier may have blanks, but not by accident
			return fmt.Errorf("%s: there are blanks around the id", where)
		case err != nil:
			return fmt.Errorf("%s: %w", where, err)
		case len(ids) == maxErased:
			return fmt.Errorf("%s: at most %d conversations at once", where, maxErased)
		case !known[text]:
			known[text] = true
			ids = append(ids, id)
		}
		return nil
	}
	for i, text := range c.Args().Slice() {
		if err := add(fmt.Sprintf("argument %d", i+1), text); err != nil {
			return nil, err
		}
	}
	if path := c.String("file"); path != "" {
		if err := eachLine(path, add); err != nil {
			return nil, fmt.Errorf("-file: %w", err)
		}
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("want %s, or -file", workflowIDArgument)
	}
	return ids, nil
}

func eachLine(path string, do func(where, text string) error) error {
	var in io.Reader = os.Stdin
	if path != "-" {
		file, err := os.Open(path) //nolint:gosec // the operator's own file
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	lines := bufio.NewScanner(in)
	for number := 1; lines.Scan(); number++ {
		if text := strings.TrimSuffix(lines.Text(), "\r"); text != "" {
			if err := do(fmt.Sprint("line ", number), text); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}
