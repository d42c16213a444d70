// Package job is the job that every engine does and is measured on.
package job

import (
	"time"

	"sessionkeeper/compare/engine"
)

// Plan has the parameters of the job. They are the same for every engine.
type Plan struct {
	// Senders is how many senders work at the same time. Each one waits for the
	// acknowledgement of its message before it sends the next one.
	Senders int `json:"senders"`
	// Conversations has an entry for each run of the throughput part: the number
	// of conversations that get messages.
	Conversations []int `json:"conversations"`
	// Duration is how long the senders send in each of those runs.
	Duration time.Duration `json:"duration"`
	// Lateness is for the part that measures how late idle calls are.
	Lateness LatenessPlan `json:"lateness"`
	// Chat is the chat whose cost on Temporal is counted.
	Chat engine.Chat `json:"chat"`
}

// LatenessPlan has the parameters of the lateness part.
type LatenessPlan struct {
	Conversations int `json:"conversations"`
	// Rate is in messages per second, of all conversations together.
	Rate int `json:"rate"`
	// Idle is the time without a message after which the idle call is due.
	Idle time.Duration `json:"idle"`
	// StartWithin is the time in which the conversations start, at equal
	// intervals. Zero: they start as fast as Rate allows.
	StartWithin time.Duration `json:"startWithin"`
	// StopWithin is the time in which the conversations get their last message,
	// at equal intervals.
	StopWithin time.Duration `json:"stopWithin"`
	// LostAfter is how long after the last deadline a missing call counts as
	// lost.
	LostAfter time.Duration `json:"lostAfter"`
}

// Full is the plan for published figures. All engines together take about an
// hour, most of it for Temporal's three with 10,000 conversations.
func Full() Plan {
	return Plan{
		Senders: 32, Conversations: []int{1_000, 10_000}, Duration: 20 * time.Second,
		Lateness: LatenessPlan{
			Conversations: 1_000, Rate: 500, Idle: time.Minute,
			StartWithin: time.Minute, StopWithin: 2 * time.Minute, LostAfter: 90 * time.Second,
		},
		Chat: engine.Chat{Messages: 100, Length: 30 * time.Second},
	}
}

// Short is a plan for less than five minutes, which shows that everything works.
// A conversation gets about five messages in half its idle time, a third of the
// full plan's number.
func Short() Plan {
	return Plan{
		Senders: 32, Conversations: []int{200, 500}, Duration: 2 * time.Second,
		Lateness: LatenessPlan{
			Conversations: 100, Rate: 200, Idle: 5 * time.Second,
			StartWithin: 2 * time.Second, StopWithin: 3 * time.Second, LostAfter: 15 * time.Second,
		},
		Chat: engine.Chat{Messages: 100, Length: 5 * time.Second},
	}
}

// longIdle is the idle time of the throughput part, in which no call is due.
const longIdle = time.Hour

// warmUp is the time before the first conversation stops: all have started, and
// each one has got about two messages.
func (p LatenessPlan) warmUp() time.Duration {
	return p.StartWithin + 2*time.Duration(p.Conversations)*time.Second/time.Duration(p.Rate)
}

// The timeouts of the parts are for an engine that hangs. They are much longer
// than an engine that works needs.

func (p Plan) throughputTimeout(conversations int) time.Duration {
	const slowest = 20 // conversations started per second, and messages caught up with
	return 4*p.Duration + time.Minute + 2*time.Duration(conversations)*time.Second/slowest
}

func (p Plan) costTimeout() time.Duration { return 2*p.Chat.Length + 30*time.Second }

func (p Plan) latenessTimeout() time.Duration {
	l := p.Lateness
	return 3*(l.warmUp()+l.StopWithin+l.Idle) + l.LostAfter + 30*time.Second
}

// Timeout is the timeout of all parts together.
func (p Plan) Timeout() time.Duration {
	all := p.costTimeout() + p.latenessTimeout() + 2*time.Minute // to start and stop the engine
	for _, count := range p.Conversations {
		all += p.throughputTimeout(count)
	}
	return all
}
