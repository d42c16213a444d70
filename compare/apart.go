package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"sessionkeeper/compare/engine"
	"sessionkeeper/compare/job"
	"sessionkeeper/compare/process"
	"sessionkeeper/compare/stores"
)

// Each engine is measured in a process of its own, so that what one leaves
// behind does not slow the next one down, and one that hangs or dies stops
// nobody else.

// measure is the name of the command that such a process runs.
const measure = "measure"

// assignment is what it is told, on standard input; it answers on standard
// output with a job.Result after each part, one a line.
type assignment struct {
	Engine  string         `json:"engine"`
	Servers stores.Servers `json:"servers"`
	Plan    job.Plan       `json:"plan"`
}

func measureCommand() *cli.Command {
	return &cli.Command{
		Name: measure, Hidden: true,
		Action: func(ctx context.Context, _ *cli.Command) error {
			var a assignment
			if err := json.NewDecoder(os.Stdin).Decode(&a); err != nil {
				return fmt.Errorf("read the assignment: %w", err)
			}
			chosen, err := engine.Choose([]string{a.Engine})
			if err != nil {
				return err
			}
			answer := json.NewEncoder(os.Stdout)
			// Libraries that print may not spoil the answer.
			os.Stdout = os.Stderr
			return job.Measure(ctx, chosen[0], a.Servers, a.Plan, func(r job.Result) { _ = answer.Encode(r) })
		},
	}
}

// apart measures an engine in another process. What goes wrong with that is in
// the result.
func apart(ctx context.Context, a assignment, name string) job.Result {
	result := job.Result{Key: a.Engine, Name: name}
	if err := measureApart(ctx, a, &result); err != nil {
		result.Problems = append(result.Problems, job.Problem{Part: "run", Reason: err.Error()})
		if ctx.Err() == nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		}
	}
	return result
}

func measureApart(ctx context.Context, a assignment, result *job.Result) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	told, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("write the assignment: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, a.Plan.Deadline(), fmt.Errorf("it took more than %v", a.Plan.Deadline()))
	defer cancel()
	answers, out := io.Pipe()
	command := exec.CommandContext(ctx, self, measure) //nolint:gosec // this very program
	command.Stdin, command.Stdout = bytes.NewReader(told), out
	child, err := process.Start(command, os.Interrupt)
	if err != nil {
		return err
	}
	go func() {
		<-child.Ended()
		_ = out.Close()
	}()
	began := time.Now()
	shown := ""
	for decoder := json.NewDecoder(answers); ; {
		var next job.Result
		if err := decoder.Decode(&next); err != nil {
			break // it has ended, which tells more
		}
		*result = next
		if line := summary(next); line != shown {
			fmt.Fprintf(os.Stderr, "%5.0f s  %s\n", time.Since(began).Seconds(), line)
			shown = line
		}
	}
	if err := child.Err(); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return nil
}

// summary is what is known so far, in a line.
func summary(r job.Result) string {
	parts := []string{r.Name}
	for _, s := range r.Sustained {
		parts = append(parts, fmt.Sprintf("%.0f messages/s over %d conversations", s.PerSecond(), s.Conversations))
	}
	if r.Lateness != nil {
		parts = append(parts, fmt.Sprintf("calls late by %v at most", r.Lateness.Max.Round(time.Millisecond)))
	}
	for _, p := range r.Problems {
		parts = append(parts, p.Part+": "+p.Reason)
	}
	return strings.Join(parts, "; ")
}
