package sender

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"sessionkeeper/conversation"
)

// at is a time in seconds after an arbitrary one.
func at(seconds int) int64 { return int64(time.Hour) + int64(seconds)*int64(time.Second) }

func noJitter(time.Duration) time.Duration { return 0 }

// talking is an entry with a window of 100 s whose message at 0 s is
// acknowledged, with a lease until 100 s.
func talking() *entry {
	e := newEntry(conversation.Identity{OrgID: "00D000000000001", ConversationIdentifier: "c1"}, 100*time.Second)
	e.latest = at(0)
	e.begin(at(0))
	e.acknowledge(at(0))
	return e
}

func (e *entry) acknowledge(now int64) { e.answer(Sent, nil, now) }

func (e *entry) fail(now int64) {
	e.answer("", serviceerror.NewUnavailable("down"), now)
}

func (e *entry) answer(receipt Receipt, err error, now int64) {
	e.inFlight.receipt, e.inFlight.err = receipt, err
	e.end(now, noJitter)
}

func TestInvariant1OneSendAtATime(t *testing.T) {
	table := newTable(10, DefaultMaxBytes, 100*time.Second)
	id := conversation.Identity{OrgID: "00D000000000001", ConversationIdentifier: "c1"}
	first, err := table.message(id, time.Now())
	require.NoError(t, err)
	require.True(t, first.begun)
	for _, at := range []time.Time{time.Now(), time.Now().Add(time.Hour)} {
		second, err := table.message(id, at)
		require.NoError(t, err)
		require.Same(t, first.send, second.send, "it joins the send in flight")
		require.False(t, second.begun)
	}
	background, _ := table.due(time.Now().Add(24 * time.Hour))
	require.Nil(t, background)
	flush, err := table.unacked(keyOf(id), time.Now().UnixNano())
	require.NoError(t, err)
	require.Same(t, first.send, flush.send)
}

func TestInvariant2CoveredByAcknowledgementOrLease(t *testing.T) {
	for name, test := range map[string]struct {
		acked, leaseUntil, at int64
		covered               bool
	}{
		"acknowledged":             {at(10), 0, at(10), true},
		"older than acknowledged":  {at(10), 0, at(5), true},
		"newer, without a lease":   {at(10), 0, at(11), false},
		"within the lease":         {at(10), at(20), at(20), true},
		"after the lease":          {at(10), at(20), at(20) + 1, false},
		"nothing was acknowledged": {0, 0, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := entry{acked: test.acked, leaseUntil: test.leaseUntil}
			require.Equal(t, test.covered, e.covers(test.at))
		})
	}
}

func TestInvariant3LeaseDropsWhenASendBegins(t *testing.T) {
	for name, test := range map[string]struct {
		latest, now int64
		window      time.Duration
		requested   time.Duration
		leaseUntil  int64
	}{
		"renewal: the held end is earlier":       {at(90), at(98), 100 * time.Second, 100 * time.Second, at(100)},
		"shorter window: the requested is":       {at(90), at(92), 5 * time.Second, 5 * time.Second, at(95)},
		"release":                                {at(0), at(98), 100 * time.Second, 0, 0},
		"last message too old for another lease": {at(10), at(98), 100 * time.Second, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := talking()
			e.latest, e.window = test.latest, test.window
			s := e.begin(test.now)
			require.Equal(t, test.latest, s.at)
			require.Equal(t, test.requested, s.lease)
			require.Equal(t, test.leaseUntil, e.leaseUntil)
		})
	}
}

func TestInvariant4ResultOfASend(t *testing.T) {
	t.Run("acknowledged: acked and lease as granted", func(t *testing.T) {
		e := talking()
		e.latest = at(90)
		e.begin(at(98))
		e.acknowledge(at(99))
		require.Equal(t, []int64{at(90), at(190)}, []int64{e.acked, e.leaseUntil})
		require.Equal(t, at(188), e.due, "2 s before the lease ends")
	})
	t.Run("acknowledged after a newer message", func(t *testing.T) {
		e := talking()
		e.latest = at(10)
		e.begin(at(98))
		e.latest = at(99)
		e.acknowledge(at(99))
		require.Equal(t, []int64{at(10), 0, at(99)}, []int64{e.acked, e.leaseUntil, e.due}, "no lease covers it: sent at once")
	})
	t.Run("failed: unchanged, due after a backoff", func(t *testing.T) {
		e := talking()
		e.latest = at(90)
		e.begin(at(98))
		e.fail(at(99))
		require.Equal(t, []int64{at(0), at(100)}, []int64{e.acked, e.leaseUntil})
		require.Equal(t, at(99)+int64(minBackoff), e.due)
		e.begin(at(100))
		e.fail(at(101))
		require.Equal(t, at(101)+int64(2*minBackoff), e.due)
	})
	t.Run("the conversation has ended: no lease", func(t *testing.T) {
		for _, receipt := range []Receipt{AlreadyOver, NotTracked} {
			e := talking()
			e.latest = at(90)
			e.begin(at(98))
			e.answer(receipt, nil, at(99))
			require.Equal(t, []int64{at(90), 0}, []int64{e.acked, e.leaseUntil})
			require.True(t, e.idle())
		}
	})
}

func TestInvariant5Idle(t *testing.T) {
	e := talking()
	require.False(t, e.idle(), "a lease is held")
	e.begin(at(98))
	require.False(t, e.idle(), "a release is in flight")
	e.fail(at(99))
	require.False(t, e.idle(), "the lease may still be held")
	e.begin(at(100))
	e.acknowledge(at(100))
	require.True(t, e.idle())
	require.Equal(t, at(100)+int64(idleRetention), e.due)
	e.latest = at(101)
	require.False(t, e.idle(), "a message is not acknowledged")

	e = newEntry(conversation.Identity{OrgID: "00D000000000001", ConversationIdentifier: "c1"}, 100*time.Second)
	e.latest = at(0)
	e.begin(at(0))
	e.fail(at(1))
	e.acked = at(0)
	require.False(t, e.idle(), "the answer was lost, the lease may be held")
}

func TestBackoffIsBounded(t *testing.T) {
	for failures, want := range map[uint8]time.Duration{1: minBackoff, 2: 2 * minBackoff, 5: 16 * minBackoff, 6: maxBackoff, 101: maxBackoff} {
		require.Equal(t, want, backoff(failures), failures)
	}
}

func TestIsRetryable(t *testing.T) {
	for err, want := range map[error]bool{
		context.DeadlineExceeded:                       true,
		serviceerror.NewUnavailable(""):                true,
		serviceerror.NewResourceExhausted(0, ""):       true,
		serviceerror.NewInvalidArgument(""):            false,
		serviceerror.NewPermissionDenied("", ""):       false,
		serviceerror.NewNamespaceNotFound("namespace"): true,
		serviceerror.NewNotFound(""):                   false,
		errors.New("other"):                            false,
	} {
		require.Equal(t, want, IsRetryable(err), "%T", err)
	}
}

// conversationOf is the identity of the tests of the table.
var conversationOf = conversation.Identity{OrgID: "00D000000000001", ConversationIdentifier: "c1"}

func (t *table) endWith(s *send, receipt Receipt, err error) {
	s.receipt, s.err = receipt, err
	t.end(s)
}

// The lease is released at once, whatever a start that ends now says.
func TestClosedTableKeepsItsWindows(t *testing.T) {
	table := newTable(10, DefaultMaxBytes, 5*time.Minute)
	j, err := table.message(conversationOf, time.Now())
	require.NoError(t, err)
	table.endWith(j.send, Sent, nil)
	table.close()
	table.setWindow(conversationOf, 10*time.Minute, true)
	release, _ := table.due(time.Now())
	require.NotNil(t, release)
	require.Zero(t, release.lease)
}

func TestStartKeepsABackoff(t *testing.T) {
	table := newTable(10, DefaultMaxBytes, 5*time.Minute)
	j, err := table.message(conversationOf, time.Now())
	require.NoError(t, err)
	table.endWith(j.send, "", context.DeadlineExceeded)
	table.setWindow(conversationOf, 10*time.Minute, true)
	repetition, next := table.due(time.Now())
	require.Nil(t, repetition)
	require.Positive(t, time.Until(next))
}

// The policy of the conversation that has ended is not that of the new one.
func TestNewWorkflowHasTheDefaultWindow(t *testing.T) {
	table := newTable(10, DefaultMaxBytes, 5*time.Minute)
	table.setWindow(conversationOf, 30*time.Minute, true)
	j, err := table.message(conversationOf, time.Now())
	require.NoError(t, err)
	j.began = true
	table.endWith(j.send, Sent, nil)
	release, _ := table.due(time.Now().Add(5 * time.Minute))
	require.NotNil(t, release)
}

func TestSessionChangeKeepsTheLease(t *testing.T) {
	table := newTable(10, DefaultMaxBytes, 5*time.Minute)
	id := conversationOf
	id.SessionID = "0Mw000000000001"
	j, err := table.message(id, time.Now())
	require.NoError(t, err)
	table.endWith(j.send, Sent, nil)
	id.SessionID = "0Mw000000000002"
	j, err = table.message(id, time.Now().Add(time.Second))
	require.NoError(t, err)
	table.endWith(j.send, "", serviceerror.NewPermissionDenied("", ""))
	require.Equal(t, 1, table.stats().Conversations, "the lease of the first session is still to be released")
}

// The lease of a message that was in flight during an end may be one of the
// session that has ended.
func TestEndDuringASendDistrustsItsLease(t *testing.T) {
	table := newTable(10, DefaultMaxBytes, 5*time.Minute)
	at := time.Now()
	j, err := table.message(conversationOf, at)
	require.NoError(t, err)
	table.forget(conversationOf, at)
	table.endWith(j.send, Sent, nil)
	require.False(t, table.absorb(conversationOf, at.Add(time.Second)))
	release, _ := table.due(time.Now())
	require.NotNil(t, release)
	require.Zero(t, release.lease)
}

// An entry is in the queue once, wherever it is, and not after it was removed.
func TestQueueHoldsEachEntryOnce(t *testing.T) {
	q := newTable(10, DefaultMaxBytes, time.Minute)
	var entries []*entry
	for i := range 4 {
		e := newEntry(conversation.Identity{OrgID: "00D000000000001", ConversationIdentifier: string(rune('a' + i))}, time.Minute)
		e.due = at(i)
		entries = append(entries, e)
		q.enqueue(e)
	}
	for i, e := range entries {
		e.due = at(10 - i)
		q.enqueue(e)
	}
	require.Len(t, q.queue, 4)
	for i, e := range entries {
		q.unqueue(e)
		q.unqueue(e)
		require.Len(t, q.queue, 3-i)
	}
}

// The end of a session drops its entry, unless a message is newer, or a send in flight may
// still acquire a lease.
func TestForgetAtAnEnd(t *testing.T) {
	const mine, other = "0Mw000000000001", "0Mw000000000002"
	id := conversation.Identity{OrgID: "00D000000000001", ConversationIdentifier: "c1", SessionID: mine}
	for name, test := range map[string]struct {
		session    string
		end        int64
		sending    bool
		covers     bool
		distrusted bool
	}{
		"its session":              {session: mine, end: at(5)},
		"a session without an id":  {session: "", end: at(5)},
		"another session":          {session: other, end: at(5), covers: true},
		"a message is newer":       {session: mine, end: at(-5), covers: true},
		"a send is in flight":      {session: mine, end: at(5), sending: true, distrusted: true},
		"in flight, but it is old": {session: mine, end: at(-5), sending: true},
	} {
		q := newTable(10, DefaultMaxBytes, time.Minute)
		e := q.add(id, time.Minute)
		e.latest = at(0)
		e.begin(at(0))
		e.acknowledge(at(0))
		if test.sending {
			e.begin(at(1))
		}
		closed := id
		closed.SessionID = test.session
		q.forget(closed, timeOf(test.end))
		require.Equal(t, test.covers, e.covers(at(2)), name)
		require.Same(t, e, q.entries[keyOf(id)], "it holds a lease, which has to be released")
		if test.sending {
			require.Equal(t, test.distrusted, e.inFlight.distrusted, name)
		}
	}
}

// A caller that stops waiting learns whether its message will be sent.
func TestAbandon(t *testing.T) {
	q := newTable(10, DefaultMaxBytes, time.Minute)
	running := &send{done: make(chan struct{})}
	require.True(t, q.abandon(running), "by this send or the next")
	require.True(t, running.abandoned)
	over := func(s send) *send {
		s.done = make(chan struct{})
		close(s.done)
		return &s
	}
	require.True(t, q.abandon(over(send{})), "it was sent")
	require.True(t, q.abandon(over(send{err: errors.New("away"), kept: true})), "it is repeated")
	require.False(t, q.abandon(over(send{err: errors.New("no")})), "every caller got the error")
}
