package job

import (
	"time"

	"sessionkeeper/compare/engine"
)

// Result is what was measured of one engine. A part that was not measured is
// missing, and Problems says why.
type Result struct {
	Key        string       `json:"key"`
	Name       string       `json:"name"`
	Throughput []Throughput `json:"throughput,omitempty"`
	Lateness   *Lateness    `json:"lateness,omitempty"`
	// Stored is how many bytes the store needs for an idle conversation.
	Stored *float64 `json:"storedBytesPerConversation,omitempty"`
	// Cost is for engines on Temporal.
	Cost     *engine.Cost `json:"cost,omitempty"`
	Problems []Problem    `json:"problems,omitempty"`
}

// Throughput is the result of senders that send messages as fast as they can.
type Throughput struct {
	Conversations int           `json:"conversations"`
	Messages      int64         `json:"messages"`
	Took          time.Duration `json:"took"`
	// CatchUp is how long the engine worked after the last message.
	CatchUp time.Duration `json:"catchUp"`
	// CPU is the CPU time of sender, worker and stores together, until the engine
	// had caught up.
	CPU time.Duration `json:"cpu"`
	// Checked is how many conversations were checked after that. Lost is how many
	// of them had a stored deadline without the last message.
	Checked int `json:"checked"`
	Lost    int `json:"lost"`
}

// PerSecond is how many messages were acknowledged per second.
func (t Throughput) PerSecond() float64 {
	if t.Took <= 0 {
		return 0
	}
	return float64(t.Messages) / t.Took.Seconds()
}

// CPUPerThousand is the CPU time for 1,000 messages, in seconds.
func (t Throughput) CPUPerThousand() float64 {
	if t.Messages == 0 {
		return 0
	}
	return t.CPU.Seconds() * 1000 / float64(t.Messages)
}

// Lateness says how late the idle calls were.
type Lateness struct {
	// Rate is how many messages per second the engine acknowledged. It is less
	// than planned when the engine was too slow.
	Rate float64 `json:"rate"`
	// Min to Max are over all calls. An early call has a negative lateness.
	Min time.Duration `json:"min"`
	P50 time.Duration `json:"p50"`
	P99 time.Duration `json:"p99"`
	Max time.Duration `json:"max"`
	// Calls is how many calls were made, Expected how many conversations became
	// idle.
	Calls    int `json:"calls"`
	Expected int `json:"expected"`
	Early    int `json:"early"`
	Lost     int `json:"lost"`
	Doubled  int `json:"doubled"`
}

// Problem says why a part has no result.
type Problem struct {
	Part   string `json:"part"`
	Reason string `json:"reason"`
}

// The parts of the job.
const (
	PartThroughput = "throughput"
	PartCost       = "cost"
	PartLateness   = "lateness"
)
