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

// Each engine is measured in a process of its own, so that what it leaves in
// memory does not slow down the next engine, and an engine that hangs or dies
// does not end the run.

// measureCommandName is the command of such a process.
const measureCommandName = "measure"

// measureRequest is the standard input of such a process. It writes a job.Result
// to standard output after each part, one per line.
type measureRequest struct {
	Engine  string         `json:"engine"`
	Servers stores.Servers `json:"servers"`
	Plan    job.Plan       `json:"plan"`
}

func measureCommand() *cli.Command {
	return &cli.Command{
		Name: measureCommandName, Hidden: true,
		Action: func(ctx context.Context, _ *cli.Command) error {
			var request measureRequest
			if err := json.NewDecoder(os.Stdin).Decode(&request); err != nil {
				return fmt.Errorf("read the request: %w", err)
			}
			chosen, err := engine.Choose([]string{request.Engine})
			if err != nil {
				return err
			}
			results := json.NewEncoder(os.Stdout)
			// Libraries that print must not write between the results.
			os.Stdout = os.Stderr
			report := func(r job.Result) { _ = results.Encode(r) }
			return job.Measure(ctx, chosen[0], request.Servers, request.Plan, report)
		},
	}
}

// measureInSubprocess measures an engine in another process. If that process
// fails, the result says so.
func measureInSubprocess(ctx context.Context, request measureRequest, name string) job.Result {
	result := job.Result{Key: request.Engine, Name: name}
	if err := runSubprocess(ctx, request, &result); err != nil {
		result.Problems = append(result.Problems, job.Problem{Part: "run", Reason: err.Error()})
		if ctx.Err() == nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		}
	}
	return result
}

func runSubprocess(ctx context.Context, request measureRequest, result *job.Result) error {
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	input, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	timeout := request.Plan.Timeout()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it took more than %v", timeout))
	defer cancel()
	results, out := io.Pipe()
	command := exec.CommandContext(ctx, executable, measureCommandName) //nolint:gosec // executable is this program
	command.Stdin, command.Stdout = bytes.NewReader(input), out
	child, err := process.Start(command, os.Interrupt)
	if err != nil {
		return err
	}
	go func() {
		<-child.Ended()
		_ = out.Close()
	}()
	began := time.Now()
	printed := ""
	for decoder := json.NewDecoder(results); ; {
		var next job.Result
		if err := decoder.Decode(&next); err != nil {
			break // the process has ended; its own error says more
		}
		*result = next
		if line := progressLine(next); line != printed {
			fmt.Fprintf(os.Stderr, "%5.0f s  %s\n", time.Since(began).Seconds(), line)
			printed = line
		}
	}
	if err := child.Err(); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return nil
}

// progressLine has the results so far in one line.
func progressLine(r job.Result) string {
	parts := []string{r.Name}
	for _, t := range r.Throughput {
		parts = append(parts, fmt.Sprintf("%.0f messages/s over %d conversations", t.PerSecond(), t.Conversations))
	}
	if r.Lateness != nil {
		parts = append(parts, fmt.Sprintf("calls late by at most %v", r.Lateness.Max.Round(time.Millisecond)))
	}
	for _, p := range r.Problems {
		parts = append(parts, p.Part+": "+p.Reason)
	}
	return strings.Join(parts, "; ")
}
