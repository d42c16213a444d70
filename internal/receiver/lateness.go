package receiver

import (
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/internal/telemetry"
)

const (
	// maxLateness: an event that arrives later is warned of. The default
	// inactivateAfter is as long: such an event may prove no quiet any more.
	maxLateness = 10 * time.Minute
	// maxAhead: an event that is dated later in the future is warned of. Clocks that
	// are synchronized differ by less.
	maxAhead = 10 * time.Second
	// maxSource is how many characters of a source are logged.
	maxSource = 100
)

// lateness measures how late events arrive. Its histogram has no labels: there may be
// hundreds of orgs, and a source is text of a client.
type lateness struct {
	seconds prometheus.Histogram
	logger  *slog.Logger
	limit   logLimit
}

func newLateness(registry *prometheus.Registry, logger *slog.Logger) *lateness {
	l := &lateness{
		logger: logger,
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "sessionkeeper_event_arrival_lateness_seconds",
			Help:    "Time from an event to its arrival; 0 for an event that is dated in the future",
			Buckets: telemetry.LatenessBuckets,
		}),
	}
	registry.MustRegister(l.seconds)
	return l
}

// observe measures the events of a request. An event without a time is of now.
func (l *lateness) observe(batch []cloudevent.Event, now time.Time) {
	for _, e := range batch {
		if e.At.IsZero() {
			continue
		}
		late := now.Sub(e.At)
		l.seconds.Observe(max(0, late.Seconds()))
		switch {
		case late > maxLateness:
			l.warn("An event arrived late", "lateness", late, e, now)
		case late < -maxAhead:
			l.warn("An event is dated in the future", "ahead", -late, e, now)
		}
	}
}

func (l *lateness) warn(text, name string, by time.Duration, e cloudevent.Event, now time.Time) {
	if others, ok := l.limit.allow(now); ok {
		l.logger.Warn(text, name, by.Round(time.Second).String(), "source", shown(e.Source),
			"orgId", e.Identity.OrgID, "othersSinceLastLine", others)
	}
}

// shown returns a client's text in the form in which it may be shown: short, and
// without characters that change how a terminal shows a line.
func shown(text string) string {
	runes := []rune(text)
	if len(runes) > maxSource {
		runes = append(runes[:maxSource], '…')
	}
	quoted := strconv.QuoteToGraphic(string(runes))
	return quoted[1 : len(quoted)-1]
}
