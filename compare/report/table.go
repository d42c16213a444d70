package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"sessionkeeper/compare/job"
)

// absent stands where nothing was measured.
const absent = "–"

// column is one figure of the table.
type column struct {
	head  string
	value func(job.Result) string
}

func (r Report) columns() []column {
	columns := []column{{"engine", func(result job.Result) string { return result.Name }}}
	for _, count := range r.Plan.Conversations {
		columns = append(columns, column{
			"messages/s, " + humanize.Comma(int64(count)),
			sustained(count, func(s job.Sustained) string { return humanize.Comma(int64(s.PerSecond())) }),
		})
	}
	most := r.Plan.Conversations[len(r.Plan.Conversations)-1]
	columns = append(columns, column{
		"CPU s/1,000 messages", sustained(most, func(s job.Sustained) string { return significant(s.CPUPerThousand()) }),
	})
	for _, c := range []struct {
		head  string
		value func(job.Lateness) string
	}{
		{"late min", func(l job.Lateness) string { return duration(l.Min) }},
		{"p50", func(l job.Lateness) string { return duration(l.P50) }},
		{"p99", func(l job.Lateness) string { return duration(l.P99) }},
		{"max", func(l job.Lateness) string { return duration(l.Max) }},
		{"early", func(l job.Lateness) string { return humanize.Comma(int64(l.Early)) }},
		{"lost", func(l job.Lateness) string { return humanize.Comma(int64(l.Lost)) }},
		{"doubled", func(l job.Lateness) string { return humanize.Comma(int64(l.Doubled)) }},
	} {
		columns = append(columns, column{c.head, func(result job.Result) string {
			// Without a call there is nothing to be late.
			if l := result.Lateness; l != nil && (l.Calls > 0 || c.head == "lost") {
				return c.value(*l)
			}
			return absent
		}})
	}
	return append(columns,
		column{"bytes/idle conversation", func(result job.Result) string {
			if result.Stored == nil {
				return absent
			}
			return humanize.Comma(int64(*result.Stored))
		}},
		column{"actions", func(result job.Result) string {
			if result.Cost == nil {
				return absent
			}
			return humanize.Comma(int64(result.Cost.Actions))
		}},
		column{"events", func(result job.Result) string {
			if result.Cost == nil {
				return absent
			}
			return humanize.Comma(int64(result.Cost.Events))
		}},
	)
}

func sustained(conversations int, value func(job.Sustained) string) func(job.Result) string {
	return func(result job.Result) string {
		for _, s := range result.Sustained {
			if s.Conversations == conversations && s.Messages > 0 {
				return value(s)
			}
		}
		return absent
	}
}

// rows are the table, its head first.
func (r Report) rows() [][]string {
	columns := r.columns()
	rows := make([][]string, 1+len(r.Results))
	for _, c := range columns {
		rows[0] = append(rows[0], c.head)
		for i, result := range r.Results {
			rows[1+i] = append(rows[1+i], c.value(result))
		}
	}
	return rows
}

// Print prints the table for a terminal, and under it what went wrong.
func (r Report) Print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range r.rows() {
		// The names stand on the left; the writer aligns all to the right.
		name := row[0] + strings.Repeat(" ", max(0, r.widestName()-len([]rune(row[0]))))
		if _, err := fmt.Fprintln(table, name+"\t"+strings.Join(row[1:], "\t")+"\t"); err != nil {
			return fmt.Errorf("print the table: %w", err)
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	for _, note := range r.notes() {
		if _, err := fmt.Fprintln(w, note); err != nil {
			return fmt.Errorf("print the notes: %w", err)
		}
	}
	return nil
}

func (r Report) widestName() (widest int) {
	for _, result := range r.Results {
		widest = max(widest, len([]rune(result.Name)))
	}
	return widest
}

// keptUp is the share of the offered messages that an engine takes that keeps
// up; the rest is missing at the end, when single senders have fallen silent.
const keptUp = 0.8

// notes say what the table's figures leave out.
func (r Report) notes() (notes []string) {
	for _, result := range r.Results {
		for _, s := range result.Sustained {
			if s.Lost > 0 {
				notes = append(notes, fmt.Sprintf("%s: did not know of the last message of %d of %d conversations.", result.Name, s.Lost, s.Checked))
			}
		}
		if l := result.Lateness; l != nil && l.Rate < keptUp*float64(r.Plan.Lateness.Rate) {
			notes = append(notes, fmt.Sprintf("%s: took %.0f messages/s of the %d offered while the idle calls were measured.",
				result.Name, l.Rate, r.Plan.Lateness.Rate))
		}
		for _, p := range result.Problems {
			notes = append(notes, fmt.Sprintf("%s: %s: %s.", result.Name, p.Part, strings.TrimSuffix(oneLine(p.Reason), ".")))
		}
	}
	return notes
}

func oneLine(text string) string {
	line := strings.Join(strings.Fields(text), " ")
	if runes := []rune(line); len(runes) > 300 {
		line = string(runes[:300]) + "…"
	}
	return line
}

// duration in the unit that is easiest to read.
func duration(d time.Duration) string {
	if d.Abs() < time.Second {
		return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// significant writes a number with two digits that count.
func significant(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x < 0.0001:
		return "< 0.0001"
	}
	digits := 1
	for rest := x; rest < 1 && digits < 5; rest *= 10 {
		digits++
	}
	return fmt.Sprintf("%.*f", digits, x)
}
