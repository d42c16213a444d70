package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
)

// lateEvent is an event of a test that arrives later than it happened.
func lateEvent(e event, arrives int) func(*State) {
	return func(s *State) { e.apply(s, at(arrives)) }
}

// inFlight is a conversation whose Inactivate became due at 600 and is in flight.
func inFlight() *State {
	s := active(s1)
	s.step(at(600))
	return s
}

func TestLateEvents(t *testing.T) {
	lease := func(s *State) {
		s.applyMessage(conversation.Message{At: at(10), Lease: fiveMinutes}, at(2000))
	}
	for name, tt := range map[string]struct {
		state      *State
		play       func(*State)
		want       string
		inactivate int // when it is made Inactive, 0 for never
	}{
		"before our Inactivate, its own deadline is over": {
			inactive(), lateEvent(messaged(s1, 500), 1100), "Inactive session=" + s1 + " inactive=600", 0,
		},
		"before our Inactivate, its own deadline is ahead": {
			inactive(), lateEvent(messaged(s1, 500), 1099), "Active session=" + s1 + " active=500", 1100,
		},
		"after our Inactivate, its own deadline is over": {
			inactive(), lateEvent(messaged(s1, 601), 2000), "Active session=" + s1 + " active=601", 2600,
		},
		"before our Inactivate, with a lease": {
			inactive(), lease, "Inactive session=" + s1 + " inactive=600", 0,
		},
		"before the Inactivate in flight, its own deadline is over": {
			inFlight(), lateEvent(messaged(s1, 1), 601), "Active session=" + s1 + " active=0", 600,
		},
		"before the Inactivate in flight, its own deadline is ahead": {
			inFlight(), lateEvent(messaged(s1, 2), 601), "Active session=" + s1 + " active=2", 602,
		},
		"a start before the Inactivate in flight, its own deadline is over": {
			inFlight(), lateEvent(start(s1, 1), 601), "Active session=" + s1 + " active=0", 600,
		},
		"while Active, its own deadline is over": {
			active(s1), lateEvent(messaged(s1, 50), 650), "Active session=" + s1 + " active=50", 1250,
		},
		"while Active, its own deadline is just ahead": {
			active(s1), lateEvent(messaged(s1, 50), 649), "Active session=" + s1 + " active=50", 650,
		},
		"a start of 1970": {
			newState(conversation.Start{Identity: identity(s1), At: time.Unix(0, 0)}, at(0)), func(*State) {},
			"Active session=" + s1 + " active=" + seconds(time.Unix(0, 0)), 600,
		},
		"Salesforce's Active from before our Inactivate": {
			inactive(), lateEvent(reported("Active", s1, 599), 601), "Inactive session=" + s1 + " inactive=600", 0,
		},
		"Salesforce's Active from after our Inactivate": {
			inactive(), lateEvent(reported("Active", s1, 601), 602), "Active session=" + s1 + " active=601", 1201,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tt.play(tt.state)
			require.Equal(t, tt.want, summarize(tt.state))
			want := time.Time{}
			if tt.inactivate != 0 {
				want = at(tt.inactivate)
			}
			require.Equal(t, want, tt.state.inactivateAt())
		})
	}
}

// A sender whose clock is hours behind does not end a living chat: each of its
// messages counts from its arrival.
func TestClockHoursBehind(t *testing.T) {
	const behind = 3 * 3600
	h := newHarness(t)
	for seconds := 300; seconds <= 3000; seconds += 300 {
		h.signal(seconds, "message", conversation.Message{SessionID: s1, At: at(seconds - behind)})
	}
	h.run(func(s *conversation.Start) { s.At = at(-behind) })
	require.Equal(t, []string{"3600 Inactivate by System", "7200 End by System"}, h.calls)
}

// The clocks of the partner's systems differ. Where no earlier session is known, an
// event without a session id that happened a moment before the session belongs to it.
func TestEventAMomentBeforeTheSession(t *testing.T) {
	afterAnother := func() *State {
		s := started(s2, 3)
		s.Previous = &conversation.PreviousSession{SessionID: s1, EndsEventsUntil: at(1)}
		return newState(s, at(3))
	}
	replacing := func() *State {
		s := active(s1)
		start(s2, 3).apply(s, at(3))
		return s
	}
	provisional := func() *State {
		s := started("", -1)
		s.Provisional = true
		return newState(s, at(0))
	}
	for name, tt := range map[string]struct {
		state  *State
		events []event
		want   string
	}{
		"a close": {active(s1), []event{hangup("", -5)}, "Active session=" + s1 + " closing=0"},
		"a close, and the start repeated": {
			active(s1), []event{hangup("", -1), start(s1, 0)}, "Active session=" + s1 + " closing=0",
		},
		"a close, further away": {active(s1), []event{hangup("", -6)}, "Active session=" + s1 + " active=0"},
		"a close that names the session": {
			active(s1), []event{hangup(s1, -600)}, "Active session=" + s1 + " closing=-600",
		},
		"a close, and the sender knows an earlier session": {
			afterAnother(), []event{hangup("", 1)}, "Active session=" + s2 + " active=3",
		},
		"a close, and the run knows an earlier session": {
			replacing(), []event{hangup("", 1)}, "Active session=" + s2 + " active=3",
		},
		"the close comes first": {
			provisional(), []event{hangup("", -1), start(s1, 2)}, "Active session=" + s1 + " closing=2",
		},
		"a close, then a message before the start": {
			provisional(),
			[]event{messaged("", 3), hangup("", 1)},
			"Active session= closing=1 | next: Active session= active=3",
		},
		"the close comes first, long before the start": {
			provisional(),
			[]event{hangup("", -1), start(s1, 60)},
			"Active session= closing=-1 | next: Active session=" + s1 + " active=60",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, e := range tt.events {
				e.apply(tt.state, at(100))
			}
			require.Equal(t, tt.want, summarize(tt.state))
		})
	}
}

// Salesforce's entry was sent some time after the session had ended. What happened in
// between belongs to the next session.
func TestSessionEndTimeCounts(t *testing.T) {
	s := active(s1)
	messaged("", 30).apply(s, at(30))
	s.applySessionStatus(conversation.SessionStatus{
		SessionID: s1, Status: conversation.StatusEnded, At: at(40), EndTime: conversation.Timestamp{Time: at(20)},
	}, at(41))
	require.Equal(t, "Ended session="+s1+" outcome=EndedInSalesforce by  until=20 | next: Active session= active=30",
		summarize(s))
	require.Equal(t, at(41), s.Outcome.At)
}

// While End is in flight, a message names the session that it ends: no next session
// begins. A message that names no session is not lost.
func TestMessageOfTheEndedSession(t *testing.T) {
	for name, tt := range map[string]struct {
		messages []event
		want     string
	}{
		"of the session that ends":         {[]event{messaged(s1, 11)}, ""},
		"of no session":                    {[]event{messaged("", 11)}, " | next: Active session= active=11"},
		"of another session":               {[]event{messaged(s2, 11)}, ""},
		"of the session, then of no other": {[]event{messaged(s1, 11), messaged("", 12)}, " | next: Active session= active=12"},
	} {
		t.Run(name, func(t *testing.T) {
			s := closing(active(s1), conversation.EndUser, 10)
			end := s.newCall(conversation.End, conversation.EndUser)
			for _, e := range tt.messages {
				e.apply(s, at(20))
			}
			s.callSucceeded(end, conversation.Answer{Attempt: 1}, at(21))
			if name == "of another session" {
				require.Equal(t, "Active session="+s2[:15]+" active=11", summarize(s))
				return
			}
			require.Equal(t, "Ended session="+s1+" outcome=Closed by EndUser until=10"+tt.want, summarize(s))
			for _, e := range []event{messaged(s1, 30), start(s1, 31), hangup(s1, 32)} {
				e.apply(s, at(40))
			}
			require.Equal(t, "Ended session="+s1+" outcome=Closed by EndUser until=10"+tt.want, summarize(s),
				"they belong to the past")
		})
	}
}

// Salesforce says Active for a session that has ended. Nothing is called; the state
// says so.
func TestAliveAfterEnd(t *testing.T) {
	s := active(s1)
	start(s2, 10).apply(s, at(10))
	reported("Active", s1, 5).apply(s, at(20))
	require.Zero(t, s.AliveAfterEnd, "from before the end")
	reported("Inactive", s1, 15).apply(s, at(20))
	require.Zero(t, s.AliveAfterEnd, "not alive")
	reported("Waiting", s1, 15).apply(s, at(20))
	require.Equal(t, at(15), s.AliveAfterEnd)

	s = active(s1)
	s.end(conversation.Closed, "EndUser", at(10), at(11))
	reported("Active", s1, 15).apply(s, at(20))
	require.Equal(t, at(15), s.AliveAfterEnd)
	require.Nil(t, s.Next)
}
