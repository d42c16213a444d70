package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/conversation"
)

// Each of these tests is a fault that the simulation found, as its shortest story.

// The last message and the close of a session arrive after the next one has begun, by a
// clock that is ahead. The session that has just begun stays the current one.
func TestEventsOfTheOldSessionAMomentAfterTheNextBegan(t *testing.T) {
	for name, e := range map[string]event{
		"message": messaged(s1, 3), "close": hangup(s1, 3), "status": reported(conversation.StatusInactive, s1, 3),
	} {
		t.Run(name, func(t *testing.T) {
			s := newState(started(s2, 0), at(0)) // the start of s1 was lost
			e.apply(s, at(4))
			require.Equal(t, "Active session="+s2+" active=0", summarize(s))
			messaged(s2, 60).apply(s, at(60))
			require.Equal(t, "Active session="+s2+" active=60", summarize(s))
		})
	}
	s := newState(started(s2, 0), at(0))
	messaged(s3, 6).apply(s, at(6))
	require.Equal(t, "Active session="+s3+" active=6", summarize(s), "beyond the difference of the clocks")
}

// The close of a session that Salesforce has ended is not handed on to the next session,
// whose id is not known yet: it would end a chat that has just begun.
func TestCloseIsNotHandedOn(t *testing.T) {
	for name, closed := range map[string]string{"named": s1, "unnamed": ""} {
		t.Run(name, func(t *testing.T) {
			s := active(s1)
			hangup(closed, 48).apply(s, at(48))
			reported(conversation.StatusEnded, s1, 46).apply(s, at(48))
			messaged("", 47).apply(s, at(48))
			require.NotNil(t, s.Next)
			require.Nil(t, s.Next.Closing)
		})
	}
}

// The current session has no id yet. An event of a session that is long over, and not
// remembered, is not taken for one of the current session.
func TestEventOfAForgottenSession(t *testing.T) {
	first := started("", 1800)
	first.Provisional = true
	first.Previous = &conversation.PreviousSession{SessionID: s2, EndsEventsUntil: at(1750)}
	s := newState(first, at(1800))
	hangup(s1, 1600).apply(s, at(2400))
	require.Equal(t, "Active session= active=1800", summarize(s))
	start(s3, 1747).apply(s, at(2400))
	require.Equal(t, s3, s.Identity.SessionID, "within the difference of the clocks")
}

// Salesforce reports a second time that the session is Inactive: somebody wrote in
// between. The time until the End begins again.
func TestSecondInactiveCounts(t *testing.T) {
	s := active(s1)
	reported(conversation.StatusInactive, s1, 100).apply(s, at(100))
	reported(conversation.StatusInactive, s1, 160).apply(s, at(161))
	messaged(s1, 150).apply(s, at(162))
	require.Equal(t, "Inactive session="+s1+" inactive=160", summarize(s))

	s = active(s1)
	reported(conversation.StatusInactive, s1, 100).apply(s, at(100))
	reported(conversation.StatusWaiting, s1, 150).apply(s, at(155))
	reported(conversation.StatusInactive, s1, 104).apply(s, at(160))
	require.Equal(t, "Active session="+s1+" active=150", summarize(s))
}

// Without an idle time only Salesforce makes the session Inactive. A lease that expires
// then does not hide what happened after that.
func TestActivityBeforeTheEndOfALeaseWithoutIdleTime(t *testing.T) {
	for name, e := range map[string]event{
		"message": messaged(s1, 550), "status": reported(conversation.StatusWaiting, s1, 550),
	} {
		t.Run(name, func(t *testing.T) {
			s := active(s1)
			s.Policy.InactivateAfter = new(conversation.Duration(0))
			s.applyMessage(conversation.Message{
				SessionID: s1, At: at(10), Lease: conversation.Lease{Holder: "a", Duration: conversation.Duration(10 * time.Minute)},
			}, at(10))
			reported(conversation.StatusInactive, s1, 500).apply(s, at(500))
			s.step(at(640))
			require.Equal(t, "Inactive session="+s1+" inactive=610", summarize(s))
			e.apply(s, at(700))
			require.Equal(t, "Active session="+s1+" active=550", summarize(s))
		})
	}
}

// Salesforce has made the session Inactive, and then somebody wrote. No worker ran meanwhile,
// so the workflow gets both after the idle time of the message. The session is Active in
// Salesforce, so it must be made Inactive again. Real processes found this one.
func TestMessageAfterTheAnswerOfAnInactivate(t *testing.T) {
	s := active(s1)
	s.step(at(600))
	inactivate := s.newCall(conversation.Inactivate, conversation.System)
	s.callSucceeded(inactivate, conversation.Answer{At: at(601)}, at(1300))
	require.Equal(t, "Inactive session="+s1+" inactive=1300", summarize(s))
	messaged(s1, 605).apply(s, at(1300))
	require.Equal(t, "Active session="+s1+" active=605", summarize(s))
}

// The next session has begun and is over before the run of the session before it ends: no
// worker ran. Real processes found this one.
func TestEndOfTheNextSession(t *testing.T) {
	s := active(s1)
	s.applyClose(conversation.Close{SessionID: s1, At: at(10)}, at(10))
	s.callSucceeded(s.newCall(conversation.End, conversation.System), conversation.Answer{At: at(11)}, at(30))
	s.applyStart(started(s2, 20), at(30))
	reported(conversation.StatusEnded, s2, 25).apply(s, at(30))
	next := s.asFirst(at(30))
	require.Equal(t, conversation.EndedInSalesforce, next.Outcome.Why)
	require.Nil(t, next.Next)

	messaged("", 40).apply(s, at(40))
	next = s.asFirst(at(40))
	require.Equal(t, conversation.EndedInSalesforce, next.Outcome.Why)
	require.Equal(t, at(40), next.asFirst(at(40)).LastActivityAt, "a message that follows begins another session")
}

// A session of one second. Salesforce says when the next one began, so no tolerance is
// needed to tell them apart.
func TestStatusSaysWhenItsSessionBegan(t *testing.T) {
	s := active(s1)
	s.applySessionStatus(conversation.SessionStatus{
		SessionID: s2, Status: conversation.StatusWaiting, At: at(2), StartTime: conversation.Timestamp{Time: at(1)},
	}, at(2))
	require.Equal(t, s2, s.Identity.SessionID)
}

// A message without a session id, by a clock behind, counts as of the beginning of its
// session. Its sender releases the lease in the next session, with the time that it knows.
func TestReleaseOfALeaseByAClockBehind(t *testing.T) {
	s := active(s1)
	lease := conversation.Message{At: at(-1), Lease: conversation.Lease{Holder: "a", Duration: conversation.Duration(10 * time.Minute)}}
	s.applyMessage(lease, at(1))
	s.applyStart(started(s2, 2), at(2))
	lease.Lease.Duration = 0
	s.applyMessage(lease, at(590))
	require.Empty(t, s.Leases)
}

// Salesforce answered only that the session is not active, and tracking stopped. A rep may
// have made it Inactive, so a later message of it is not one of a session that is over.
func TestMessageOfASessionThatIsNotActive(t *testing.T) {
	s := active(s1)
	s.Policy.EndAfter = new(conversation.Duration(0))
	s.callSucceeded(s.newCall(conversation.Inactivate, conversation.System), conversation.Answer{NotActive: true}, at(600))
	require.True(t, s.Outcome.MayBeInactive())
	messaged(s1, 601).apply(s, at(601))
	require.NotNil(t, s.Next)
	require.Equal(t, s1, s.Next.Identity.SessionID)
}

// A cancelled workflow that has ended the session says so, for events that come later.
func TestCanceledRunHasAnOutcome(t *testing.T) {
	h := newHarness(t)
	h.after(10, h.CancelWorkflow)
	h.run(func(s *conversation.Start) { s.Policy.EndOnCancel = true })
	var canceled *temporal.CanceledError
	require.ErrorAs(t, h.GetWorkflowError(), &canceled)
	var outcome conversation.Outcome
	require.NoError(t, canceled.Details(&outcome))
	require.Equal(t, conversation.Canceled, outcome.Why)
	require.Equal(t, s1, outcome.SessionID)
}

// The next session begins while a cancelled workflow still tries to end the last one. It
// is kept, and the End is not tried again.
func TestSessionBeginsWhileAWorkflowIsCanceled(t *testing.T) {
	for name, play := range map[string]func(*harness){
		"its start":   func(h *harness) { h.signal(70, "start", started(s2, 70)) },
		"its message": func(h *harness) { h.signal(70, "message", conversation.Message{SessionID: s2, At: at(70)}) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.salesforce(conversation.End, times(8, busy)...)
			h.after(10, h.CancelWorkflow)
			play(h)
			h.run(func(s *conversation.Start) { s.Policy.EndOnCancel = true })
			_, state := h.continued()
			require.Equal(t, s2, state.Identity.SessionID)
			require.Equal(t, []string{
				"10 End by System", "11 End by System", "13 End by System", "17 End by System", "25 End by System",
				"41 End by System",
			}, h.calls)
		})
	}
}

// The close arrives in the workflow task of the answer "not active". The session may be
// Inactive, so it is still ended, by the next run.
func TestCloseInTheTaskOfNotActive(t *testing.T) {
	h := newHarness(t)
	h.salesforce(conversation.Inactivate, func() (conversation.Answer, error) {
		h.SignalWorkflowSkippingWorkflowTask("close", conversation.Close{SessionID: s1, At: at(590)})
		return notActive()
	})
	h.run(func(s *conversation.Start) { s.Policy.EndAfter = new(conversation.Duration(0)) })
	_, state := h.continued()
	require.Equal(t, s1, state.Identity.SessionID)
	require.Equal(t, at(590), state.Closing.At)
}

// A run that failed did not end its session, so a later start may name that.
func TestStartAfterARunThatFailed(t *testing.T) {
	first := started("", 10100)
	first.Provisional, first.Previous = true, &conversation.PreviousSession{EndsEventsUntil: at(10000)}
	s := newState(first, at(10100))
	start(s1, 0).apply(s, at(10200))
	require.Equal(t, s1, s.Identity.SessionID)
}

// Two closes arrive with the answer that the session is only not active. Both are for the
// next run, which ends it, also if the second one is older.
func TestClosesOfASessionThatIsNotActive(t *testing.T) {
	for name, test := range map[string]struct {
		session, named string
	}{
		"whose id is known":     {s1, s1},
		"that names no session": {s1, ""},
		"whose id is not known": {"", s1},
	} {
		s := newState(started(test.session, 0), at(0))
		s.Policy.EndAfter = new(conversation.Duration(0))
		s.callSucceeded(s.newCall(conversation.Inactivate, conversation.System), conversation.Answer{NotActive: true}, at(600))
		require.True(t, s.Outcome.MayBeInactive())
		for _, seconds := range []int{601, 500} {
			target := s.applyClose(conversation.Close{SessionID: test.named, At: at(seconds)}, at(601))
			require.Same(t, s.Next, target, name)
			require.NotNil(t, s.Next.Closing, name)
		}
	}
}

// The session has ended, and the next one has begun. A close from before the end is
// answered with that end.
func TestCloseOfTheSessionThatHasEnded(t *testing.T) {
	for _, named := range []string{s1, ""} {
		s := active(s1)
		s.applySessionStatus(conversation.SessionStatus{SessionID: s1, Status: conversation.StatusEnded, At: at(11)}, at(11))
		messaged(s2, 18).apply(s, at(18))
		require.NotNil(t, s.Next)
		require.Same(t, s, s.applyClose(conversation.Close{SessionID: named, At: at(10)}, at(20)))
		require.Nil(t, s.Next.Closing)
	}
}

// The first start of a session has a clock that is behind that of a start of the session
// before. It counts all the same, so that a later one for somebody else does not.
func TestFirstStartOfASessionByAClockBehind(t *testing.T) {
	s := active(s1)
	s.applyStart(started(s1, 283), at(283))
	messaged(s2, 282).apply(s, at(284))
	require.False(t, s.applyStart(started(s2, 282), at(284)))
	require.True(t, s.HasStart)
	other := started(s2, 285)
	other.EndUserClientID = "somebody else"
	require.True(t, s.applyStart(other, at(285)))
	require.Equal(t, identity("").EndUserClientID, s.Identity.EndUserClientID)
}
