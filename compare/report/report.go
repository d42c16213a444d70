// Package report shows what was measured: as a table for people, as Markdown and
// charts for documents, and as JSON for programs.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sessionkeeper/compare/job"
)

// Report is one run.
type Report struct {
	Began       time.Time     `json:"began"`
	Took        time.Duration `json:"took"`
	Environment Environment   `json:"environment"`
	Plan        job.Plan      `json:"plan"`
	Results     []job.Result  `json:"results"`
}

// Write writes everything into a folder, which is made when it does not exist:
// results.json, table.md and a chart for each figure, as SVG.
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
