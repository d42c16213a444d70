// Package job is the one job that every engine is measured on.
package job

import (
	"time"

	"sessionkeeper/compare/engine"
)

// Plan are the parameters of the job, the same for every engine.
type Plan struct {
	// Senders report messages at the same time, each one after the other and
	// waiting for its acknowledgement.
	Senders int `json:"senders"`
	// Conversations over which messages are sent as fast as possible, one run
	// after the other, For a time each.
	Conversations []int         `json:"conversations"`
	For           time.Duration `json:"for"`
	// Lateness is the part in which conversations go quiet.
	Lateness LatenessPlan `json:"lateness"`
	// Chat is what Temporal's costs are counted on.
	Chat engine.Chat `json:"chat"`
}

// LatenessPlan are the parameters of the measurement of lateness.
type LatenessPlan struct {
	Conversations int `json:"conversations"`
	// Rate is in messages per second, over all conversations together.
	Rate int `json:"rate"`
	// Idle is the quiet time after which the call is due.
	Idle time.Duration `json:"idle"`
	// Join is the time over which conversations begin, one after the other.
	Join time.Duration `json:"join"`
	// Stretch is the time over which the moments at which the conversations go
	// quiet are spread evenly.
	Stretch time.Duration `json:"stretch"`
	// Patience is how long after the last deadline calls are waited for, after
	// which they count as lost.
	Patience time.Duration `json:"patience"`
}

// Full is what published figures are made with. All engines take about an
// hour, most of which Temporal's three spend on 10,000 conversations.
func Full() Plan {
	return Plan{
		Senders: 32, Conversations: []int{1_000, 10_000}, For: 20 * time.Second,
		Lateness: LatenessPlan{Conversations: 1_000, Rate: 500, Idle: time.Minute, Join: time.Minute, Stretch: 2 * time.Minute, Patience: 90 * time.Second},
		Chat:     engine.Chat{Messages: 100, Over: 30 * time.Second},
	}
}

// Short shows that everything works, in less than five minutes. A conversation
// gets some five messages in half its idle time, a third of the full plan's.
func Short() Plan {
	return Plan{
		Senders: 32, Conversations: []int{200, 500}, For: 2 * time.Second,
		Lateness: LatenessPlan{Conversations: 100, Rate: 200, Idle: 5 * time.Second, Join: 2 * time.Second, Stretch: 3 * time.Second, Patience: 15 * time.Second},
		Chat:     engine.Chat{Messages: 100, Over: 5 * time.Second},
	}
}

// never is an idle time that does not pass while messages are sent.
const never = time.Hour

// warmUp is the time before the first conversation goes quiet: all have begun, and
// each has got about two messages.
func (p LatenessPlan) warmUp() time.Duration {
	return p.Join + 2*time.Duration(p.Conversations)*time.Second/time.Duration(p.Rate)
}

// canWait reports whether an engine that looks only now and then gets to make
// every call in time.
func (p LatenessPlan) canWait(e engine.Engine) bool { return e.Looks < p.Patience }

// Deadlines of the parts. They are there for an engine that hangs: no engine
// that works should come near.
func (p Plan) sustainedDeadline(conversations int) time.Duration {
	const slowest = 20 // conversations begun, messages caught up with in a second
	return 4*p.For + time.Minute + 2*time.Duration(conversations)*time.Second/slowest
}
func (p Plan) costDeadline() time.Duration { return 2*p.Chat.Over + 30*time.Second }
func (p Plan) latenessDeadline() time.Duration {
	l := p.Lateness
	return 3*(l.warmUp()+l.Stretch+l.Idle) + l.Patience + 30*time.Second
}

// Deadline is that of all parts together.
func (p Plan) Deadline() time.Duration {
	all := p.costDeadline() + p.latenessDeadline() + 2*time.Minute // starts and stops
	for _, count := range p.Conversations {
		all += p.sustainedDeadline(count)
	}
	return all
}
