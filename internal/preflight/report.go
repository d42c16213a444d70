// Package preflight is the report of checks before a program is started, or when something
// does not work.
package preflight

import (
	"fmt"
	"io"
	"strings"
)

// Status says how a check ended.
type Status string

// The statuses.
const (
	// OK: it is as it should be.
	OK Status = "ok"
	// Note: something that a program cannot check, and an operator should know.
	Note Status = "note"
	// Skipped: the check needs what another one has not found.
	Skipped Status = "skipped"
	// Warning: it works, and may fail or cost more than it should.
	Warning Status = "warning"
	// Failed: it does not work.
	Failed Status = "failed"
)

var symbols = map[Status]string{OK: "√", Note: "·", Skipped: "-", Warning: "‼", Failed: "×"}

// Result is the result of one check.
type Result struct {
	// Group is what was checked, such as an org.
	Group string `json:"group"`
	// Check is the sentence that is true if the status is OK.
	Check  string `json:"check"`
	Status Status `json:"status"`
	// Detail says what was found.
	Detail string `json:"detail,omitempty"`
	// Remedy says what to do about it.
	Remedy string `json:"remedy,omitempty"`
}

// Report is a list of results, those of a group one after the other.
type Report []Result

// Count returns how many results have a status.
func (r Report) Count(s Status) (n int) {
	for _, result := range r {
		if result.Status == s {
			n++
		}
	}
	return n
}

// ExitStatus is 1 if a check has failed, else 2 if there is a warning, else 0.
func (r Report) ExitStatus() int {
	switch {
	case r.Count(Failed) > 0:
		return 1
	case r.Count(Warning) > 0:
		return 2
	default:
		return 0
	}
}

// Text is the report for people.
func (r Report) Text(w io.Writer) error {
	var b strings.Builder
	group := ""
	for _, result := range r {
		if result.Group != group {
			if group != "" {
				b.WriteString("\n")
			}
			group = result.Group
			fmt.Fprintln(&b, oneLine(group))
		}
		fmt.Fprintf(&b, "  %s %s\n", symbols[result.Status], oneLine(result.Check))
		if result.Detail != "" {
			fmt.Fprintf(&b, "      %s\n", oneLine(result.Detail))
		}
		if result.Remedy != "" {
			fmt.Fprintf(&b, "      → %s\n", oneLine(result.Remedy))
		}
	}
	fmt.Fprintf(&b, "\n%d failed, %d warnings, %d checks\n", r.Count(Failed), r.Count(Warning), len(r))
	_, err := io.WriteString(w, b.String())
	return err
}

// oneLine keeps a text from elsewhere from breaking the report.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
