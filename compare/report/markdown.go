package report

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"sessionkeeper/compare/job"
	"sessionkeeper/compare/stores"
)

// Markdown returns the table, the notes, and how the figures were measured.
func (r Report) Markdown() string {
	var b strings.Builder
	for i, row := range r.rows() {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			b.WriteString("|---|" + strings.Repeat("---:|", len(row)-1) + "\n")
		}
	}
	list := func(heading string, items []string) {
		if len(items) == 0 {
			return
		}
		fmt.Fprintf(&b, "\n%s\n\n", heading)
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

// Parameters says what is measured, in one sentence per line.
func Parameters(p job.Plan) string {
	counts := make([]string, len(p.Conversations))
	for i, count := range p.Conversations {
		counts[i] = humanize.Comma(int64(count))
	}
	l := p.Lateness
	starts := "start as fast as the message rate allows"
	if l.StartWithin > 0 {
		starts = fmt.Sprintf("start one after the other within %v", l.StartWithin)
	}
	return strings.Join([]string{
		fmt.Sprintf("Messages/s: %d senders, each of which waits for the acknowledgement of its message, "+
			"over %s conversations, for %v each.",
			p.Senders, strings.Join(counts, " and "), p.Duration),
		fmt.Sprintf("CPU: of sender, worker and stores together, over %s conversations, "+
			"until the engine has processed everything that it has acknowledged.",
			counts[len(counts)-1]),
		fmt.Sprintf("Lateness: %s conversations %s, get %s messages/s together, and get their last message "+
			"one after the other within %v. The idle call is due after %v without a message, and lost %v later.",
			humanize.Comma(int64(l.Conversations)), starts, humanize.Comma(int64(l.Rate)), l.StopWithin, l.Idle, l.LostAfter),
		fmt.Sprintf("Bytes: the growth of the store when %s conversations start.", counts[0]),
		fmt.Sprintf("Actions and events: of a chat of %d messages with an idle time of a third of its length, "+
			"closed at the end, in %v.",
			p.Chat.Messages, p.Chat.Length),
	}, "\n")
}
