package job

import (
	"slices"
	"sync"
	"time"
)

// timeline has the messages and the idle calls of one conversation, in order of
// time.
type timeline struct {
	mu sync.Mutex
	// messages are those that the engine has acknowledged.
	messages []message
	// calls are the times at which the calls arrived at Salesforce.
	calls []time.Time
}

// message has the time of a message and the time of its acknowledgement.
type message struct{ at, acknowledgedAt time.Time }

func (t *timeline) addMessage(at, acknowledgedAt time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.messages = append(t.messages, message{at, acknowledgedAt})
}

func (t *timeline) addCall(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls = append(t.calls, at)
}

const (
	// clockError is how much before the deadline a call may arrive without being
	// early. PostgreSQL, Redis and Temporal round times by less.
	clockError = time.Millisecond
	// callTransit is how long before a call's arrival a message may be
	// acknowledged without having to prevent the call, which may be on its way.
	callTransit = 250 * time.Millisecond
)

// callCounts are the counts of the idle calls of some conversations.
type callCounts struct {
	late                    []time.Duration
	expected, lost, doubled int
	early                   int
}

// add counts the calls of one conversation. A call belongs to the last message
// that was acknowledged before it, and was due an idle time after that message.
// One call is expected after the conversation's last message. A call before that
// is right when no message came for an idle time, which happens when messages
// are held up.
func (c *callCounts) add(t *timeline, idle time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.messages) == 0 {
		return
	}
	c.expected++
	called := make([]bool, len(t.messages))
	for _, call := range t.calls {
		last := t.lastMessageBefore(call)
		late := call.Sub(t.messages[last].at.Add(idle))
		c.late = append(c.late, late)
		switch {
		case late < -clockError:
			c.early++
		case called[last]:
			c.doubled++
		}
		called[last] = true
	}
	if !called[len(called)-1] {
		c.lost++
	}
}

// lastMessageBefore is the index of the last message that the engine knew when
// it made a call, or 0 when there is none.
func (t *timeline) lastMessageBefore(call time.Time) int {
	for i, m := range slices.Backward(t.messages) {
		if !m.acknowledgedAt.After(call.Add(-callTransit)) {
			return i
		}
	}
	return 0
}

// hasLastCall reports whether the call after the last message was made.
func (t *timeline) hasLastCall(idle time.Duration) bool {
	var c callCounts
	c.add(t, idle)
	return c.lost == 0
}

func (c callCounts) lateness() Lateness {
	result := Lateness{Calls: len(c.late), Expected: c.expected, Early: c.early, Lost: c.lost, Doubled: c.doubled}
	if len(c.late) == 0 {
		return result
	}
	slices.Sort(c.late)
	result.Min, result.Max = c.late[0], c.late[len(c.late)-1]
	result.P50, result.P99 = percentile(c.late, 50), percentile(c.late, 99)
	return result
}

// percentile of sorted durations by the nearest-rank method: the smallest one
// that is not less than the given percentage of them.
func percentile(sorted []time.Duration, percent int) time.Duration {
	rank := (len(sorted)*percent + 99) / 100
	return sorted[max(rank, 1)-1]
}
