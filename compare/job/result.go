package job

import (
	"time"

	"sessionkeeper/compare/engine"
)

// Result is what was measured of one engine. Parts that were not measured are
// absent; Problems says why.
type Result struct {
	Key       string      `json:"key"`
	Name      string      `json:"name"`
	Sustained []Sustained `json:"sustained,omitempty"`
	Lateness  *Lateness   `json:"lateness,omitempty"`
	// Stored is how many bytes the store holds for an idle conversation.
	Stored *float64 `json:"storedBytesPerConversation,omitempty"`
	// Cost is for engines on Temporal.
	Cost     *engine.Cost `json:"cost,omitempty"`
	Problems []Problem    `json:"problems,omitempty"`
}

// Sustained is what came of senders that report as fast as they can.
type Sustained struct {
	Conversations int           `json:"conversations"`
	Messages      int64         `json:"messages"`
	Took          time.Duration `json:"took"`
	// CatchUp is how long the engine worked on after the last message.
	CatchUp time.Duration `json:"catchUp"`
	// CPU is the processor time of sender, worker and stores together, with the
	// catching up.
	CPU time.Duration `json:"cpu"`
	// Checked is for how many conversations the engine was asked what it knows
	// afterwards, and Lost for how many it did not know of the last message.
	Checked int `json:"checked"`
	Lost    int `json:"lost"`
}

// PerSecond is how many messages were acknowledged in a second.
func (s Sustained) PerSecond() float64 {
	if s.Took <= 0 {
		return 0
	}
	return float64(s.Messages) / s.Took.Seconds()
}

// CPUPerThousand is the processor time for 1,000 messages, in seconds.
func (s Sustained) CPUPerThousand() float64 {
	if s.Messages == 0 {
		return 0
	}
	return s.CPU.Seconds() * 1000 / float64(s.Messages)
}

// Lateness is what became of the idle calls.
type Lateness struct {
	// Rate is how many messages per second the engine acknowledged, which is
	// less than planned when it could not keep up.
	Rate float64 `json:"rate"`
	// Min to Max are over all calls; an early call is late by less than nothing.
	Min time.Duration `json:"min"`
	P50 time.Duration `json:"p50"`
	P99 time.Duration `json:"p99"`
	Max time.Duration `json:"max"`
	// Calls counts those made, Expected the conversations that went quiet.
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
	PartSustained = "throughput"
	PartCost      = "cost"
	PartLateness  = "lateness"
)
