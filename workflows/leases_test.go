package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
)

func TestLeases(t *testing.T) {
	report := func(holder string, at time.Time, window time.Duration) conversation.Message {
		return conversation.Message{
			At: at, Lease: conversation.Lease{Holder: holder, Duration: conversation.Duration(window)},
		}
	}
	const window = 5 * time.Minute
	for name, tt := range map[string]struct {
		reports []conversation.Message
		want    time.Time
	}{
		"no lease: the last message counts": {[]conversation.Message{{At: at(60)}}, at(660)},
		"a held lease":                      {[]conversation.Message{report("a", at(60), window)}, at(960)},
		"a released lease": {
			[]conversation.Message{report("a", at(60), window), report("a", at(60), 0)}, at(660),
		},
		"another sender releases only its own": {
			[]conversation.Message{report("a", at(60), window), report("b", at(70), 0)}, at(960),
		},
		"a message without a lease releases none": {
			[]conversation.Message{report("a", at(60), window), {At: at(70)}}, at(960),
		},
		"the later of two leases": {
			[]conversation.Message{report("a", at(60), window), report("b", at(30), window)}, at(960),
		},
		"a shorter lease of the same sender": {
			[]conversation.Message{report("a", at(60), window), report("a", at(61), time.Minute)}, at(721),
		},
		"an older report of the same sender": {
			[]conversation.Message{report("a", at(60), window), report("a", at(59), 0)}, at(960),
		},
		"an older report, after the lease was renewed": {
			[]conversation.Message{report("a", at(60), window), report("a", at(70), window), report("a", at(60), 0)}, at(970),
		},
		"a lease that ends before the last activity": {
			[]conversation.Message{report("a", at(60), window), {At: at(400)}}, at(1000),
		},
		"a report with a future time counts as now": {
			[]conversation.Message{report("a", at(9999), window)}, at(500 + 300 + 600),
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := active(s1)
			for _, r := range tt.reports {
				s.applyMessage(r, at(500))
			}
			require.Equal(t, tt.want, s.inactivateAt())
		})
	}
}

var fiveMinutes = conversation.Lease{Holder: "a", Duration: conversation.Duration(5 * time.Minute)}

// The same holder may acquire a lease with an older event time.
func TestReleasedLeaseIsForgotten(t *testing.T) {
	s := active(s1)
	s.applyMessage(conversation.Message{At: at(10), Lease: fiveMinutes}, at(10))
	s.applySessionStatus(conversation.SessionStatus{SessionID: s1, Status: "Inactive", At: at(20)}, at(20))
	s.applyMessage(conversation.Message{At: at(10), Lease: conversation.Lease{Holder: fiveMinutes.Holder}}, at(30))
	require.Empty(t, s.Leases)
	s.applyMessage(conversation.Message{At: at(5), Lease: fiveMinutes}, at(31))
	require.Equal(t, at(305), s.leaseUntil())
}

func TestExpiredLeaseWithoutInactivateAfterStillEnds(t *testing.T) {
	s := active(s1)
	s.Policy.InactivateAfter = new(conversation.Duration(0))
	s.applyMessage(conversation.Message{At: at(10), Lease: fiveMinutes}, at(10))
	s.applySessionStatus(conversation.SessionStatus{SessionID: s1, Status: "Inactive", At: at(20)}, at(20))
	s.expireLeases(at(340))
	require.Equal(t, conversation.Inactive, s.Phase())
	require.Equal(t, at(310).Add(time.Hour), s.endAt())
}

func TestLeaseAppliesToTheNextSession(t *testing.T) {
	s := active(s1)
	s.applyClose(conversation.Close{At: at(100)}, at(100))
	s.applyMessage(conversation.Message{At: at(101)}, at(101))
	require.Equal(t, at(701), s.Next.inactivateAt())
	s.applyMessage(conversation.Message{At: at(99), Lease: fiveMinutes}, at(102))
	require.Equal(t, at(999), s.Next.inactivateAt(), "its holder may have collected messages after the close")
}

// The next session has none of its own. A message after its close is enough to begin
// one when its run begins.
func TestNextSessionDoesNotNest(t *testing.T) {
	s := active(s1)
	s.end(conversation.EndedInSalesforce, "", at(10), at(10))
	for i := range 50 {
		s.applyMessage(conversation.Message{At: at(11 + 2*i)}, at(200))
		s.applyClose(conversation.Close{At: at(12 + 2*i)}, at(200))
	}
	s.applyMessage(conversation.Message{At: at(150)}, at(200))
	s.applyMessage(conversation.Message{At: at(15), Lease: fiveMinutes}, at(200))
	require.Nil(t, s.Next.Next)
	require.Equal(t, at(315), s.Next.leaseUntil(), "its holder relies on it")

	first := s.asFirst(at(200))
	require.Equal(t, at(110), first.Closing.At, "the closes of what has not begun yet become one")
	require.Equal(t, at(150), first.Next.LastMessage.At)
	require.Equal(t, at(315), first.Next.leaseUntil())
	first.callSucceeded(first.newCall(conversation.End, conversation.System), conversation.Answer{Attempt: 1}, at(201))
	require.Equal(t, at(150), first.Next.LastActivityAt, "the message after the close is not lost")
}

func TestTooManyLeasesShareOneEntry(t *testing.T) {
	s := active(s1)
	for i := range 3 * maxLeases {
		s.applyMessage(conversation.Message{At: at(60 + i), Lease: conversation.Lease{
			Holder: string(rune('A' + i)), Duration: conversation.Duration(10 * time.Minute),
		}}, at(500))
	}
	require.Len(t, s.Leases, maxLeases)
	require.Equal(t, at(60+3*maxLeases-1+1200), s.inactivateAt(), "late, never early")
}

// Only an Inactive conversation that nothing else decides waits for the holder's report.
func TestGraceOfALease(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*State)
		want   time.Time
	}{
		"Inactive":                        {func(*State) {}, at(730)},
		"Active":                          {func(s *State) { s.InactiveSince = time.Time{} }, time.Time{}},
		"Ended":                           {func(s *State) { s.Outcome = &conversation.Outcome{} }, time.Time{}},
		"closing":                         {func(s *State) { s.Closing = &conversation.Closing{} }, time.Time{}},
		"Blocked":                         {func(s *State) { s.Blocked = &conversation.Answer{} }, time.Time{}},
		"the lease ended before Inactive": {func(s *State) { s.Leases[0].Until = at(600) }, time.Time{}},
	} {
		s := active(s1)
		s.InactiveSince = at(600)
		s.Leases = []lease{{Holder: "a", At: at(500), Until: at(700)}}
		tt.change(s)
		require.Equal(t, tt.want, s.leaseGraceUntil(), name)
	}
}
