package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"sessionkeeper/compare/job"
)

// charts returns a chart for each figure, by file name. A figure that no engine
// has gets no chart.
func (r Report) charts() map[string]chart {
	charts := map[string]chart{
		"lateness.svg": {
			title: "Lateness of the idle call: median, 99th percentile, latest",
			bars:  r.bars(latenessBar), format: seconds,
		},
		"cpu.svg": {
			title: "CPU time for 1,000 messages, of sender, worker and stores together",
			bars: r.bars(func(result job.Result) (bar, bool) {
				if len(result.Throughput) == 0 {
					return bar{}, false
				}
				x := result.Throughput[len(result.Throughput)-1].CPUPerThousand()
				return bar{value: x, label: significant(x) + " s"}, true
			}),
			format: func(x float64) string { return humanize.Ftoa(x) + " s" },
		},
		"stored.svg": {
			title: "Bytes stored for an idle conversation",
			bars: r.bars(func(result job.Result) (bar, bool) {
				if result.Stored == nil {
					return bar{}, false
				}
				return bar{value: *result.Stored, label: humanize.Comma(int64(*result.Stored))}, true
			}),
			format: whole,
		},
		"actions.svg": {
			title: fmt.Sprintf("Billable actions of a chat of %d messages on Temporal", r.Plan.Chat.Messages),
			bars: r.bars(func(result job.Result) (bar, bool) {
				if result.Cost == nil {
					return bar{}, false
				}
				return bar{value: float64(result.Cost.Actions), label: humanize.Comma(int64(result.Cost.Actions))}, true
			}),
			format: whole,
		},
	}
	for _, count := range r.Plan.Conversations {
		charts[fmt.Sprintf("throughput-%d.svg", count)] = chart{
			title: fmt.Sprintf("Messages per second over %s conversations", humanize.Comma(int64(count))),
			bars: r.bars(func(result job.Result) (bar, bool) {
				for _, t := range result.Throughput {
					if t.Conversations == count {
						return bar{value: t.PerSecond(), label: humanize.Comma(int64(t.PerSecond()))}, true
					}
				}
				return bar{}, false
			}),
			format: whole,
		}
	}
	for name, c := range charts {
		if len(c.bars) == 0 {
			delete(charts, name)
		}
	}
	return charts
}

// bars returns the bars of the engines that have the figure. A figure of zero is
// left out, because a logarithmic scale has no zero.
func (r Report) bars(figure func(job.Result) (bar, bool)) (bars []bar) {
	for _, result := range r.Results {
		b, ok := figure(result)
		if !ok || b.value <= 0 {
			continue
		}
		b.name = result.Name
		b.ours = strings.HasPrefix(result.Key, "sessionkeeper")
		bars = append(bars, b)
	}
	return bars
}

// latenessBar ends at the latest call. Early calls are only in the label.
func latenessBar(result job.Result) (bar, bool) {
	l := result.Lateness
	if l == nil || l.Calls == 0 {
		return bar{}, false
	}
	b := bar{value: l.Max.Seconds(), marks: []float64{l.P50.Seconds(), l.P99.Seconds()}}
	b.label = fmt.Sprintf("%s, %s, %s", duration(l.P50), duration(l.P99), duration(l.Max))
	if l.Early > 0 {
		b.label += fmt.Sprintf("; %s early, by up to %s", humanize.Comma(int64(l.Early)), duration(-l.Min))
	}
	if l.Lost > 0 {
		b.label += fmt.Sprintf("; %s lost", humanize.Comma(int64(l.Lost)))
	}
	return b, true
}

func whole(x float64) string { return humanize.Comma(int64(x)) }

func seconds(x float64) string {
	return (time.Duration(x*1e6+0.5) * time.Microsecond).String()
}
