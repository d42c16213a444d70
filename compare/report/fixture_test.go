package report

import (
	"time"

	"sessionkeeper/compare/engine"
	"sessionkeeper/compare/job"
)

// fixture is a report with an engine without problems, one that called early and
// was too slow, and one without any figure.
func fixture() Report {
	return Report{
		Began: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Took: 29*time.Minute + 300*time.Millisecond,
		Environment: Environment{
			Machine:  Machine{CPU: "Testprocessor", Cores: 2, Memory: "24 GiB", System: "Linux 6.1"},
			Versions: map[string]string{"PostgreSQL": "15.9", "Go": "1.26.8", "github.com/hibiken/asynq": "v0.26.0"},
		},
		Plan: job.Full(),
		Results: []job.Result{
			{
				Key: "sessionkeeper", Name: "sessionkeeper",
				Throughput: []job.Throughput{
					{Conversations: 1_000, Messages: 100_000_000, Took: 20 * time.Second, CPU: 40 * time.Second},
					{Conversations: 10_000, Messages: 90_000_000, Took: 20 * time.Second, CPU: 90 * time.Second},
				},
				Lateness: &job.Lateness{
					Rate: 500, Min: 4 * time.Millisecond,
					P50: 21 * time.Millisecond, P99: 612 * time.Millisecond, Max: 1234 * time.Millisecond,
					Calls: 1000, Expected: 1000,
				},
				Stored: new(40_370.4), Cost: &engine.Cost{Actions: 14, Events: 60},
			},
			{
				Key: "asynq", Name: "asynq",
				Throughput: []job.Throughput{
					{Conversations: 1_000, Messages: 240_000, Took: 20 * time.Second, CPU: 29 * time.Second, Checked: 200, Lost: 3},
				},
				Lateness: &job.Lateness{
					Rate: 300, Min: -595 * time.Millisecond,
					P50: 1810 * time.Millisecond, P99: 4390 * time.Millisecond, Max: 4410 * time.Millisecond,
					Calls: 1001, Expected: 1000, Early: 50, Lost: 1, Doubled: 2,
				},
				Stored:   new(531.0),
				Problems: []job.Problem{{Part: job.PartThroughput, Reason: "10000 conversations: start:\nno | space."}},
			},
			{Key: "river", Name: "River", Problems: []job.Problem{{Part: "run", Reason: "exit status 2"}}},
		},
	}
}
