package report

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"sessionkeeper/compare/job"
	"sessionkeeper/compare/stores"
)

// Markdown is the table, what it leaves out, and how it was made.
func (r Report) Markdown() string {
	var b strings.Builder
	for i, row := range r.rows() {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			b.WriteString("|---|" + strings.Repeat("---:|", len(row)-1) + "\n")
		}
	}
	list := func(head string, items []string) {
		if len(items) == 0 {
			return
		}
		fmt.Fprintf(&b, "\n%s\n\n", head)
		for _, item := range items {
			fmt.Fprintf(&b, "- %s\n", strings.ReplaceAll(item, "|", `\|`))
		}
	}
	list("Notes:", r.notes())
	list("How:", strings.Split(Parameters(r.Plan), "\n"))
	list("Machine:", r.Environment.Machine.lines())
	list("Versions:", r.Environment.versionLines())
	list("Settings:", []string{
		"PostgreSQL: " + strings.Join(stores.PostgresSettings, ", ") + "; a commit waits for the disk",
		"Redis: " + strings.TrimSpace(strings.Join(stores.RedisSettings, " ")),
	})
	fmt.Fprintf(&b, "\nMeasured on %s in %s.\n", r.Began.UTC().Format("2 January 2006"), r.Took.Round(1e9))
	return b.String()
}

// Parameters says what was done, one sentence a line.
func Parameters(p job.Plan) string {
	counts := make([]string, len(p.Conversations))
	for i, count := range p.Conversations {
		counts[i] = humanize.Comma(int64(count))
	}
	l := p.Lateness
	return strings.Join([]string{
		fmt.Sprintf("Messages/s: %d senders, each of which waits for the acknowledgement of its message, over %s conversations, for %v each.",
			p.Senders, strings.Join(counts, " and "), p.For),
		fmt.Sprintf("CPU: of sender, worker and stores together, over %s conversations, until all that was acknowledged is worked off.", counts[len(counts)-1]),
		fmt.Sprintf("Lateness: %s conversations begin one after the other within %v, get %s messages/s together and go quiet one after the other within %v; the call is due after %v of quiet, and lost %v later.",
			humanize.Comma(int64(l.Conversations)), l.Join, humanize.Comma(int64(l.Rate)), l.Stretch, l.Idle, l.Patience),
		fmt.Sprintf("Bytes: what the store grows by when %s conversations begin.", counts[0]),
		fmt.Sprintf("Actions and events: of a chat of %d messages with an idle time of a third of its length, closed at the end; played in %v.", p.Chat.Messages, p.Chat.Over),
	}, "\n")
}
