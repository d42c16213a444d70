package job

import (
	"slices"
	"sync"
	"time"
)

// ledger has what happened to one conversation, in order of time.
type ledger struct {
	mu sync.Mutex
	// messages that were acknowledged.
	messages []acknowledged
	// calls, by when they reached Salesforce's door.
	calls []time.Time
}

// acknowledged is a message of a time and when its sender knew that it counts.
type acknowledged struct{ at, known time.Time }

func (l *ledger) message(at, known time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages = append(l.messages, acknowledged{at, known})
}

func (l *ledger) call(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, at)
}

const (
	// clockError is how much before its deadline a call is not early yet:
	// PostgreSQL, Redis and Temporal round to less.
	clockError = time.Millisecond
	// underWay is how long before a call a message may be acknowledged without
	// having to prevent it: the call was on its way then.
	underWay = 250 * time.Millisecond
)

// account is what became of the calls of some conversations.
type account struct {
	late                    []time.Duration
	expected, lost, doubled int
	early                   int
}

// add takes a conversation's calls into the account. Each call belongs to the
// last message that was acknowledged before it, and was due once the
// conversation had been idle from then on. One call is expected after the last
// message; one before that is right when the conversation was quiet for long
// enough, which happens when messages are held up.
func (a *account) add(l *ledger, idle time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.messages) == 0 {
		return
	}
	a.expected++
	called := make([]bool, len(l.messages))
	for _, call := range l.calls {
		before := l.lastBefore(call)
		late := call.Sub(l.messages[before].at.Add(idle))
		a.late = append(a.late, late)
		switch {
		case late < -clockError:
			a.early++
		case called[before]:
			a.doubled++
		}
		called[before] = true
	}
	if !called[len(called)-1] {
		a.lost++
	}
}

// lastBefore is the index of the last message that a call had to respect: the
// first one when there is none.
func (l *ledger) lastBefore(call time.Time) int {
	for i, m := range slices.Backward(l.messages) {
		if !m.known.After(call.Add(-underWay)) {
			return i
		}
	}
	return 0
}

// settled reports whether the last message has had its call.
func (l *ledger) settled(idle time.Duration) bool {
	var a account
	a.add(l, idle)
	return a.lost == 0
}

// lateness sums the account up.
func (a account) lateness() Lateness {
	result := Lateness{Calls: len(a.late), Expected: a.expected, Early: a.early, Lost: a.lost, Doubled: a.doubled}
	if len(a.late) == 0 {
		return result
	}
	slices.Sort(a.late)
	result.Min, result.Max = a.late[0], a.late[len(a.late)-1]
	result.P50, result.P99 = percentile(a.late, 50), percentile(a.late, 99)
	return result
}

// percentile of sorted durations by the nearest-rank method: the least of them
// that at least so many percent do not exceed.
func percentile(sorted []time.Duration, percent int) time.Duration {
	rank := (len(sorted)*percent + 99) / 100
	return sorted[max(rank, 1)-1]
}
