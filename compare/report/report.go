// Package report prints the results as a table, and writes them as Markdown,
// charts and JSON.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sessionkeeper/compare/job"
)

// Report has the results of one run.
type Report struct {
	Began       time.Time     `json:"began"`
	Took        time.Duration `json:"took"`
	Environment Environment   `json:"environment"`
	Plan        job.Plan      `json:"plan"`
	Results     []job.Result  `json:"results"`
}

// Write writes results.json, table.md and an SVG chart for each figure to a
// folder. It makes the folder if needed.
func (r Report) Write(folder string) error {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	files := map[string][]byte{
		"results.json": append(data, '\n'),
		"table.md":     []byte(r.Markdown()),
	}
	for name, chart := range r.charts() {
		if files[name], err = chart.svg(); err != nil {
			return fmt.Errorf("draw %s: %w", name, err)
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}
