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

// notMeasured is the text of a figure that was not measured.
const notMeasured = "–"

// column is one figure of the table.
type column struct {
	header string
	value  func(job.Result) string
}

func (r Report) columns() []column {
	columns := []column{{"engine", func(result job.Result) string { return result.Name }}}
	for _, count := range r.Plan.Conversations {
		columns = append(columns, column{
			"messages/s, " + humanize.Comma(int64(count)),
			throughput(count, func(t job.Throughput) string { return whole(t.PerSecond()) }),
		})
	}
	most := r.Plan.Conversations[len(r.Plan.Conversations)-1]
	columns = append(columns, column{
		"CPU s/1,000 messages", throughput(most, func(t job.Throughput) string { return significant(t.CPUPerThousand()) }),
	})
	for _, c := range []struct {
		header string
		value  func(job.Lateness) string
	}{
		{"late min", func(l job.Lateness) string { return duration(l.Min) }},
		{"p50", func(l job.Lateness) string { return duration(l.P50) }},
		{"p99", func(l job.Lateness) string { return duration(l.P99) }},
		{"max", func(l job.Lateness) string { return duration(l.Max) }},
		{"early", func(l job.Lateness) string { return humanize.Comma(int64(l.Early)) }},
		{"lost", func(l job.Lateness) string { return humanize.Comma(int64(l.Lost)) }},
		{"doubled", func(l job.Lateness) string { return humanize.Comma(int64(l.Doubled)) }},
	} {
		columns = append(columns, column{c.header, func(result job.Result) string {
			// Without a call there is only the number of lost calls.
			if l := result.Lateness; l != nil && (l.Calls > 0 || c.header == "lost") {
				return c.value(*l)
			}
			return notMeasured
		}})
	}
	return append(columns,
		column{"bytes/idle conversation", func(result job.Result) string {
			if result.Stored == nil {
				return notMeasured
			}
			return humanize.Comma(int64(*result.Stored))
		}},
		column{"actions", func(result job.Result) string {
			if result.Cost == nil {
				return notMeasured
			}
			return humanize.Comma(int64(result.Cost.Actions))
		}},
		column{"events", func(result job.Result) string {
			if result.Cost == nil {
				return notMeasured
			}
			return humanize.Comma(int64(result.Cost.Events))
		}},
	)
}

func throughput(conversations int, value func(job.Throughput) string) func(job.Result) string {
	return func(result job.Result) string {
		for _, s := range result.Throughput {
			if s.Conversations == conversations && s.Messages > 0 {
				return value(s)
			}
		}
		return notMeasured
	}
}

// rows returns the table. The first row is the header.
func (r Report) rows() [][]string {
	columns := r.columns()
	rows := make([][]string, 1+len(r.Results))
	for _, c := range columns {
		rows[0] = append(rows[0], c.header)
		for i, result := range r.Results {
			rows[1+i] = append(rows[1+i], c.value(result))
		}
	}
	return rows
}

// Print prints the table for a terminal, and the notes below it.
func (r Report) Print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range r.rows() {
		// The writer aligns all cells to the right; the names are padded to be on the
		// left.
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

// minRate is the share of the offered messages that an engine takes when it is
// fast enough. It is less than 1 because some senders have nothing left to send
// at the end.
const minRate = 0.8

// notes returns what the figures of the table do not show.
func (r Report) notes() (notes []string) {
	for _, result := range r.Results {
		for _, s := range result.Throughput {
			if s.Lost > 0 {
				notes = append(notes, fmt.Sprintf("%s: lost the last message of %d of %d conversations.",
					result.Name, s.Lost, s.Checked))
			}
		}
		if l := result.Lateness; l != nil && l.Rate < minRate*float64(r.Plan.Lateness.Rate) {
			notes = append(notes, fmt.Sprintf("%s: took %.0f messages/s of the %d offered while the idle calls were measured.",
				result.Name, l.Rate, r.Plan.Lateness.Rate))
		}
		for _, p := range result.Problems {
			reason := strings.TrimSuffix(oneLine(p.Reason), ".")
			notes = append(notes, fmt.Sprintf("%s: %s: %s.", result.Name, p.Part, reason))
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

// duration formats a duration in milliseconds or seconds.
func duration(d time.Duration) string {
	if d.Abs() < time.Second {
		return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// significant formats a number with two significant digits.
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
