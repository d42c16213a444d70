// Command faults puts deliberate faults into the product, one at a time, and says after
// how many conversations the simulation finds each. Run it in the root of the module.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fault is a fault of faults.yaml.
type fault struct {
	Fault, Where, File, Old, New string
}

func main() {
	conversations := flag.Int("conversations", 100_000, "how many conversations to try")
	only := flag.String("only", "", "try only the faults whose text contains this")
	where := flag.String("where", "", "try only the faults of the rules, or of the loop")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *conversations, *only, *where)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, conversations int, only, where string) error {
	text, err := os.ReadFile("internal/simulation/faults/faults.yaml")
	if err != nil {
		return err
	}
	var faults []fault
	if err := yaml.Unmarshal(text, &faults); err != nil {
		return fmt.Errorf("read faults.yaml: %w", err)
	}
	folder, err := os.MkdirTemp("", "faults")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	missed := 0
	for _, f := range faults {
		if f.Where == "" {
			f.Where = "rules"
		}
		if !strings.Contains(f.Fault, only) || where != "" && f.Where != where {
			continue
		}
		found, err := f.try(ctx, folder, conversations)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Fault, err)
		}
		if found == "" {
			missed++
			found = "NOT FOUND"
		}
		fmt.Printf("%-75s %s\n", f.Fault, found)
	}
	if missed > 0 {
		return fmt.Errorf("%d faults were not found", missed)
	}
	return nil
}

// try says after how many conversations a fault was found, nothing if it was not.
func (f fault) try(ctx context.Context, folder string, conversations int) (string, error) {
	source, err := os.ReadFile(f.File)
	if err != nil {
		return "", err
	}
	if strings.Count(string(source), f.Old) != 1 {
		return "", errors.New("its old text is not once in " + f.File)
	}
	file, err := filepath.Abs(f.File)
	if err != nil {
		return "", err
	}
	faulty := filepath.Join(folder, "faulty.go")
	changed := strings.Replace(string(source), f.Old, f.New, 1)
	if err := os.WriteFile(faulty, []byte(changed), 0o600); err != nil { //nolint:gosec // in a folder of our own
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{file: faulty}})
	if err != nil {
		return "", err
	}
	list := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	test := "TestSimulation$"
	if f.Where == "loop" {
		test = "TestStoriesOnTheWorkflow"
	}
	//nolint:gosec // its own arguments
	output, err := exec.CommandContext(ctx, "go", "test", "-overlay", list, "-run", test, "-count", "1",
		"-timeout", "2m", "./workflows", "-args", "-simulate.quick",
		fmt.Sprint("-simulate.conversations=", conversations),
		fmt.Sprint("-simulate.stories=", min(conversations, 2000))).CombinedOutput()
	if err == nil {
		return "", nil
	}
	if strings.Contains(string(output), "test timed out") {
		return "found: a story does not come to an end", nil
	}
	if found := foundAfter.FindString(string(output)); found != "" {
		return found, nil
	}
	return "", errors.New(string(output))
}

var foundAfter = regexp.MustCompile(`found after \d+ (?:conversations|runs): .*`)
